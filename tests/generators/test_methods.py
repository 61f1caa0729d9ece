"""Every kind of generator over a grid of codes goes through the studio: sampled, streamed, sized."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genstudio.configs.llamagen import LlamaConfig
from genstudio.events import Advance, Picture
from genstudio.measure.memory import held
from genstudio.releases import catalogue, weights
from genstudio.request import Request, Wanted
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe
from genstudio.studio import Studio
from tests.releases import tiny

CONFIGS = pytest.mark.parametrize("config", [tiny.SEQUENCE, tiny.NEIGHBOUR], ids=lambda one: one.kind)


def studio(config: LlamaConfig, home: Path) -> Studio:
    """In float64, as pictures have to be equal; by name from the user's folder of models."""
    recipe = Recipe(guidance=Guidance(cfg=2.0, until=6))
    generator = replace(tiny.release(config, "tiny-grid"), tokenizer="tiny-grid-vq", recipe=recipe)
    for release in (generator, tiny.release(tiny.GRID_VQ, "tiny-grid-vq")):
        network = tiny.network(release.config)
        with torch.no_grad():
            for value in network.parameters():
                value.mul_(0.2)
        weights.save_release(home / "models" / release.name, network, release)
    made = Studio.load("tiny-grid")
    made.generator.double()
    made.tokenizer.double()
    return made


def pictures(made: Studio, wanted: tuple[Wanted, ...], batch: int) -> list[torch.Tensor]:
    request = Request(model="m", pictures=wanted, recipe=made.release.recipe, batch=batch)
    return [event.pixels_CHW for event in made.stream(request) if isinstance(event, Picture)]


@CONFIGS
def test_a_release_samples_the_same_pictures_in_any_batch(config: LlamaConfig, home: Path) -> None:
    made, wanted = studio(config, home), tuple(Wanted(label, 50 + label) for label in range(4))
    together = pictures(made, wanted, 4)
    assert [tuple(one.shape) for one in together] == [(3, 16, 16)] * 4
    assert all(a.equal(b) for a, b in zip(together, pictures(made, wanted, 1), strict=True))
    assert not together[0].equal(together[1])


@CONFIGS
def test_previews_grow_into_the_picture(config: LlamaConfig, home: Path) -> None:
    made, done, seen = studio(config, home), list[int](), list[torch.Tensor]()
    request = Request(model="m", pictures=(Wanted(3, 1),), recipe=made.release.recipe, batch=1)
    for event in made.stream(request):
        if isinstance(event, Advance):
            done.append(event.done)
            seen.append(event.preview()[0])
            assert event.total == config.codes
        elif isinstance(event, Picture):
            assert seen[-1].equal(event.pixels_CHW)
    assert done == [unit.made.stop for unit in made.generator.order.units()]
    assert not seen[0].equal(seen[-1])


@CONFIGS
def test_memory_is_known_before_anything_is_loaded(config: LlamaConfig, home: Path) -> None:
    """The cache holds two halves of 16 slots: the condition and all codes but the last."""
    made = studio(config, home)
    known = held(catalogue.find("tiny-grid"), batch=3, dtype="float32")
    assert known.cache == config.cache_spec(6, 16, "float32").nbytes
    assert known.cache == 4 * 2 * 6 * 16 * config.layers * config.width
    parameters = sum(value.numel() for value in made.generator.state_dict().values())
    assert known.weights > 4 * parameters
