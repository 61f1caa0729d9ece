"""The next-token objective: the loss is the released sampler's own likelihood; labels drop by keyed draws."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.cache.full import FullCache
from genstudio.errors import GenstudioError
from genstudio.generators.llamagen import LlamaGen
from genstudio.releases import weights
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Job
from genstudio.training.initial import initialise
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.next_token import NextTokenObjective
from genstudio.training.prepare import prepare
from genstudio.training.run import as_release
from tests.training import tiny

CPU = torch.device("cpu")


def make(pictures: Path, home: Path, **changes: Any) -> NextTokenObjective:
    for tables, name in ((tiny.GRID_VQ, "tiny-grid"), (tiny.VQ, "tiny-vq")):
        recipe = tiny.recipe(tables, pictures)
        network = initialise(registry.build(recipe.network, "cpu"), 0)
        weights.save_release(home / "models" / name, network, as_release(recipe, home, ()))
    made = prepare(tiny.recipe(tiny.LLAMAGEN, pictures, **changes), CPU, lambda _: None).objective
    assert isinstance(made, NextTokenObjective)
    return made


def stirred(objective: NextTokenObjective) -> LlamaGen:
    """The network with a head that tells codes apart."""
    assert isinstance(objective.network, LlamaGen)
    with torch.no_grad():
        for value in objective.network.parameters():
            value.normal_(std=0.2, generator=torch.Generator().manual_seed(len(value)))
    return objective.network


def batch(epoch: int = 0) -> Batch:
    index_B = torch.arange(8)
    place_B2 = torch.stack([torch.full_like(index_B, epoch), index_B], dim=1)
    return Batch(0, 0.0, index_B, At(torch.full_like(index_B, 3), place_B2), KeyedDraws(), index_B)


def test_a_fresh_network_has_the_loss_of_a_guess_and_learns(pictures: Path, home: Path) -> None:
    objective = make(pictures, home)
    first = objective.losses(batch())
    assert first.total.item() == pytest.approx(math.log(32), rel=1e-6)
    optimizer = torch.optim.Adam(objective.network.parameters(), lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        objective.losses(batch()).total.backward()
        optimizer.step()
    assert objective.losses(batch()).total.item() < 0.8 * first.total.item()


@torch.no_grad()
def test_the_loss_is_the_likelihood_that_sampling_code_by_code_gives(pictures: Path, home: Path) -> None:
    """A walk that is told each code would draw it from the law whose likelihood is trained."""
    objective = make(pictures, home, objective__label_drop=0.0, data__flip=False)
    network, walk = stirred(objective), SequenceWalk(stirred(objective))
    ids_BL, label_B = objective.train.take(torch.arange(8), None)
    seen: list[Tensor] = []

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(network.config.cache_spec(rows, capacity, "float32", look), CPU)

    job = Job(Given(label_B), torch.arange(8), Recipe(), KeyedDraws(), cache)
    state = walk.start(job._replace(trace=lambda name, value: seen.append(value)))
    state.ids_BL, state.known_BL = ids_BL, torch.ones_like(ids_BL, dtype=torch.bool)
    while not state.finished:
        walk.advance(state)
    law_BLV = torch.cat(seen, dim=1).log_softmax(-1)
    likelihood = law_BLV.gather(2, ids_BL[..., None]).mean().item()
    assert objective.losses(batch()).total.item() == pytest.approx(-likelihood, rel=1e-5)


def test_labels_that_drop_become_the_null_label(pictures: Path, home: Path) -> None:
    objective = make(pictures, home, objective__label_drop=1.0)
    network = stirred(objective)
    before = objective.losses(batch()).total
    with torch.no_grad():
        network.get_parameter("cond_embed.table.weight")[:10] = 3.0
    assert objective.losses(batch()).total.equal(before)
    with torch.no_grad():
        network.get_parameter("cond_embed.table.weight")[10] = 3.0
    assert not objective.losses(batch()).total.equal(before)


def test_the_network_shows_pictures_and_is_tested(pictures: Path, home: Path) -> None:
    objective = make(pictures, home)
    assert objective.picture(objective.network).shape == (16, 1, 32, 32)
    assert objective.evaluate(objective.network)["test_loss"] == pytest.approx(math.log(32), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer__release": "tiny-vq"}, "no tokenizer for a llamagen"),
        ({"network__vocab": 64}, "vocab 64"),
        ({"network__side": 8}, "pixels 32, its grid has 64"),
        ({"network__classes": 0, "network__caption": {"slots": 5, "width": 8}}, "classes alone"),
        ({"objective__kind": "next_scale"}, "next_scale does not train a llamagen"),
    ],
)
def test_numbers_that_do_not_agree_are_refused(
    pictures: Path, home: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenstudioError, match=message):
        make(pictures, home, **changes)
