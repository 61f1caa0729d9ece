"""The order of examples: whole epochs, no state, another order in every epoch and for every seed."""

import torch

from genstudio.samplers.draws import KeyedDraws
from genstudio.training.positions import Positions


def test_every_epoch_holds_every_example_once() -> None:
    places = Positions(KeyedDraws(), seed=1, examples=10)
    index_n, epoch_n = places.take(0, 30)
    assert epoch_n.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert all(sorted(part.tolist()) == list(range(10)) for part in index_n.split(10))
    assert not torch.equal(index_n[:10], index_n[10:20])


def test_a_batch_depends_on_its_place_alone() -> None:
    whole, _ = Positions(KeyedDraws(), 1, 10).take(0, 28)
    late = Positions(KeyedDraws(), 1, 10)
    assert torch.equal(late.take(21, 7)[0], whole[21:])
    assert torch.equal(late.take(7, 7)[0], whole[7:14])


def test_seeds_give_other_orders() -> None:
    orders = {tuple(Positions(KeyedDraws(), seed, 50).take(0, 50)[0].tolist()) for seed in range(5)}
    assert len(orders) == 5
