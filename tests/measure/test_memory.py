"""Memory before and while a run: exact sums, the estimate as an upper bound, the measured peak."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from genstudio import registry
from genstudio.cache import makers
from genstudio.cache.full import FullCache
from genstudio.errors import GenstudioError
from genstudio.measure.memory import LiveBytes, PeakMemory, estimate, held
from genstudio.releases import catalogue
from genstudio.releases.pairing import tokenizer_of
from genstudio.request import Request, choose_pictures
from genstudio.runtime import Dtype
from genstudio.studio import Studio


def request(studio: Studio, batch: int, **fields: Any) -> Request:
    pictures = choose_pictures(None, batch, "0", len(studio.classes))
    recipe = studio.release.recipe.override(**fields)
    return Request(model=studio.release.name, pictures=pictures, recipe=recipe, batch=batch)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cfg", "batch"), [(1.5, 3), (0.0, 3), (1.5, 1)])
def test_weights_and_cache_are_exact(
    tiny_var: str, monkeypatch: pytest.MonkeyPatch, dtype: Dtype, cfg: float, batch: int
) -> None:
    made: list[FullCache] = []

    class Seen(FullCache):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(makers, "FullCache", Seen)
    studio = Studio.load(tiny_var, dtype=dtype)
    wanted = request(studio, batch, cfg=cfg)
    list(studio.stream(wanted))
    found = held(studio.release, batch, dtype, wanted.recipe)
    networks = (studio.generator, studio.tokenizer)
    assert found.weights == sum(value.nbytes for one in networks for value in one.state_dict().values())
    assert [cache.nbytes() for cache in made] == [found.cache]
    assert found.activations == 0 and found.total == found.weights + found.cache


def test_a_release_need_not_be_here(home: object) -> None:
    found = held(catalogue.find("var-d16"), 1, "float32")
    assert found.weights == pytest.approx(4 * (310.3e6 + 108.95e6), rel=1e-3)
    assert found.cache == 2 * 2 * (16 * 424 + 680) * 1024 * 4
    assert held(catalogue.find("var-d16"), 1, "bfloat16").weights == pytest.approx(
        2 * (310.3e6 + 64.65e6) + 4 * 44.3e6, rel=1e-3
    )


@pytest.mark.parametrize(("name", "steps"), [("var-d16-dd", 4), ("llamagen-b-256-dd", 42)])
def test_a_teacher_that_takes_a_part_in_the_steps_counts(name: str, steps: int, home: object) -> None:
    student = catalogue.find(name)
    assert student.distilled is not None
    teacher = held(catalogue.find(student.distilled.teacher), 2, "float32")
    tokenizer = registry.build(tokenizer_of(student).config)
    shared = sum(value.nbytes for value in tokenizer.state_dict().values())
    alone, taught = (estimate(student, 2, "float32", student.override(steps=number)) for number in (1, steps))
    assert alone.cache == 0 and taught.cache == teacher.cache
    assert taught.weights == alone.weights + teacher.weights - shared
    assert alone.activations > 0 and taught.activations > 0


def test_a_tokenizer_has_no_estimate(home: object) -> None:
    with pytest.raises(GenstudioError, match="makes no pictures"):
        held(catalogue.find("msvq-fashion"), 1, "float32")


@pytest.mark.parametrize(
    ("batch", "dtype"), [(1, "float32"), (64, "float32"), (1, "bfloat16"), (32, "bfloat16")]
)
def test_the_estimate_bounds_the_measured_peak(batch: int, dtype: Dtype, home: object) -> None:
    """From above, and within a factor of 3 beside the 100 MB that first calls and malloc may take."""
    studio = Studio.load("var-fashion", dtype=dtype)
    wanted = request(studio, batch)
    with PeakMemory() as peak:
        for _ in studio.stream(wanted):
            pass
    found = estimate(studio.release, batch, dtype)
    assert peak.bytes <= found.cache + found.activations <= 3 * peak.bytes + 100e6


def test_activations_grow_with_the_batch_and_know_no_depth(home: object) -> None:
    release = catalogue.find("var-d16")
    eight, more = (estimate(release, batch, "float32").activations for batch in (8, 64))
    assert 3 * eight < more < 8 * eight
    deeper = replace(release, config=replace(release.generator, depth=32))
    assert eight <= estimate(deeper, 8, "float32").activations < 1.1 * eight


def test_decoding_begins_when_the_cache_is_gone(home: object) -> None:
    """With few pictures the decoder's maps are the most that lives, but they take the place of the cache."""
    release = catalogue.find("var-d16")
    config = release.generator
    shallow, deep = (replace(release, config=replace(config, depth=depth)) for depth in (4, 16))
    assert estimate(deep, 1, "float32").activations < estimate(shallow, 1, "float32").activations


def test_live_bytes_forget_what_is_gone() -> None:
    with LiveBytes() as live:
        first = torch.empty(1000, device="meta")
        view = first[:10]
        del first
        second = torch.empty(500, device="meta")
        del view
        third = second.add_(1)
        assert live.now == 2000
        del second, third
    assert (live.now, live.peak) == (0, 6000)


def test_the_peak_counts_what_is_gone_again_and_nothing_from_before() -> None:
    before = torch.ones(8_000_000)
    with PeakMemory() as peak:
        torch.ones(16_000_000).sum()
    assert 64e6 <= peak.bytes < 80e6
    with PeakMemory() as again:
        before.sum()
    assert 0 <= again.bytes < 8e6
