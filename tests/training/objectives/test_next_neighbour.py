"""The next-neighbour objective: the loss is the released sampler's own likelihood of mixed logits."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.cache.full import FullCache
from genstudio.errors import GenstudioError
from genstudio.generators.nar import NAR
from genstudio.releases import weights
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.samplers.neighbour import NeighbourWalk
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Job
from genstudio.training.initial import initialise
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.next_neighbour import NextNeighbourObjective
from genstudio.training.prepare import prepare
from genstudio.training.run import as_release
from tests.training import tiny

CPU = torch.device("cpu")


def make(pictures: Path, home: Path, **changes: Any) -> NextNeighbourObjective:
    recipe = tiny.recipe(tiny.GRID_VQ, pictures)
    network = initialise(registry.build(recipe.network, "cpu"), 0)
    weights.save_release(home / "models" / "tiny-grid", network, as_release(recipe, home, ()))
    made = prepare(tiny.recipe(tiny.NAR, pictures, **changes), CPU, lambda _: None).objective
    assert isinstance(made, NextNeighbourObjective)
    return made


def batch() -> Batch:
    index_B = torch.arange(8)
    place_B2 = torch.stack([torch.zeros_like(index_B), index_B], dim=1)
    return Batch(0, 0.0, index_B, At(torch.full_like(index_B, 3), place_B2), KeyedDraws(), index_B)


def test_a_fresh_network_has_nearly_the_loss_of_a_guess_and_learns(pictures: Path, home: Path) -> None:
    """Officially the head below does not begin at 0."""
    objective = make(pictures, home)
    first = objective.losses(batch())
    assert first.total.item() == pytest.approx(math.log(32), rel=1e-2)
    optimizer = torch.optim.Adam(objective.network.parameters(), lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        objective.losses(batch()).total.backward()
        optimizer.step()
    assert objective.losses(batch()).total.item() < 0.8 * first.total.item()


@torch.no_grad()
def test_the_loss_is_the_likelihood_that_sampling_unit_by_unit_gives(pictures: Path, home: Path) -> None:
    """A walk that is told each code would draw it from the law whose likelihood is trained."""
    objective = make(pictures, home, objective__label_drop=0.0, data__flip=False)
    network = objective.network
    assert isinstance(network, NAR)
    for value in network.parameters():
        value.normal_(std=0.2, generator=torch.Generator().manual_seed(len(value)))
    ids_BL, label_B = objective.train.take(torch.arange(8), None)
    seen: list[Tensor] = []

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(network.config.cache_spec(rows, capacity, "float32", look), CPU)

    walk, cells = NeighbourWalk(network), network.order.cells()
    job = Job(Given(label_B), torch.arange(8), Recipe(), KeyedDraws(), cache)
    state = walk.start(job._replace(trace=lambda name, value: seen.append(value)))
    state.ids_BL, state.known_BL = ids_BL[:, cells], torch.ones_like(ids_BL, dtype=torch.bool)
    while not state.finished:
        walk.advance(state)
    law_BLV = torch.cat(seen, dim=1).log_softmax(-1)
    likelihood = law_BLV.gather(2, ids_BL[:, cells, None]).mean().item()
    assert objective.losses(batch()).total.item() == pytest.approx(-likelihood, rel=1e-5)


def test_the_network_shows_pictures_and_is_tested(pictures: Path, home: Path) -> None:
    objective = make(pictures, home)
    assert objective.picture(objective.network).shape == (16, 1, 32, 32)
    assert objective.evaluate(objective.network)["test_loss"] == pytest.approx(math.log(32), rel=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network__vocab": 64}, "vocab 64"),
        ({"network__side": 8}, "pixels 32, its grid has 64"),
        ({"network__classes": 0, "network__caption": {"slots": 5, "width": 8}}, "classes alone"),
        ({"objective__kind": "next_token"}, "next_token does not train a nar"),
    ],
)
def test_numbers_that_do_not_agree_are_refused(
    pictures: Path, home: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenstudioError, match=message):
        make(pictures, home, **changes)
