"""The order of examples: whole epochs, no state, another order in every epoch and for every seed."""

import torch

from genstudio.samplers.draws import KeyedDraws
from genstudio.training.positions import Positions, balanced


def test_every_epoch_holds_every_example_once() -> None:
    places = Positions(KeyedDraws(), seed=1, examples=10)
    index_n, epoch_n, _ = places.take(0, 30)
    assert epoch_n.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert all(sorted(part.tolist()) == list(range(10)) for part in index_n.split(10))
    assert not torch.equal(index_n[:10], index_n[10:20])


def test_a_batch_depends_on_its_place_alone() -> None:
    whole = Positions(KeyedDraws(), 1, 10).take(0, 28).example_n
    late = Positions(KeyedDraws(), 1, 10)
    assert torch.equal(late.take(21, 7)[0], whole[21:])
    assert torch.equal(late.take(7, 7)[0], whole[7:14])


def test_seeds_give_other_orders() -> None:
    orders = {tuple(Positions(KeyedDraws(), seed, 50).take(0, 50)[0].tolist()) for seed in range(5)}
    assert len(orders) == 5


def test_balance_shows_classes_as_often_as_it_says() -> None:
    label_N = torch.tensor([0] * 16 + [1] * 4 + [2])
    for balance, shares in ((0.5, (4, 2, 1)), (1.0, (1, 1, 1))):
        index_n = Positions(KeyedDraws(), 1, 21, balanced(label_N, balance)).take(0, 21 * 400).example_n
        seen_3 = label_N[index_n].bincount(minlength=3) / 400
        torch.testing.assert_close(seen_3, 21 * torch.tensor(shares) / sum(shares), atol=0.1, rtol=0)


def test_balanced_epochs_differ_from_even_ones_by_less_than_a_picture() -> None:
    label_N = torch.tensor([0] * 16 + [1] * 4 + [2])
    places = Positions(KeyedDraws(), 1, 21, balanced(label_N, 1.0))
    for epoch in range(5):
        found = places.take(21 * epoch, 21)
        assert sorted(found.place_n.tolist()) == list(range(21))
        assert all(abs(count - 7) <= 1 for count in label_N[found.example_n].bincount(minlength=3).tolist())
