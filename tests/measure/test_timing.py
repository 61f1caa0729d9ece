"""What is timed: whole batches, after the warm-up, with nothing else in between."""

import pytest

from genstudio.measure.timing import Spread, measure, spread
from genstudio.studio import Studio


def test_a_batch_is_sampled_as_often_as_asked(tiny_var: str, monkeypatch: pytest.MonkeyPatch) -> None:
    studio, sizes = Studio.load(tiny_var), []
    decode = Studio.decode

    def counted(self: Studio, codes: object, sampling: object, side: object) -> object:
        pixels = decode(self, codes, sampling, side)
        sizes.append(len(pixels))
        return pixels

    monkeypatch.setattr(Studio, "decode", counted)
    timing = measure(studio, studio.release.recipe, 3, runs=4, warm_up=2)
    assert sizes == [3] * 6
    assert (len(timing.warm_up), len(timing.runs)) == (2, 4)
    assert all((run.steps, run.codes) == (3, 21) for run in timing.runs)
    assert all(0 < run.first <= run.seconds for run in timing.runs)
    assert timing.peak_bytes >= 0 and 0 <= timing.others <= 1


def test_speeds_follow_from_times(tiny_var: str) -> None:
    studio = Studio.load(tiny_var)
    timing = measure(studio, studio.release.recipe, 2, runs=3)
    slowest = max(run.seconds for run in timing.runs)
    assert timing.image.high == slowest / 2
    assert timing.images_per_second.low == pytest.approx(2 / slowest)
    assert timing.tokens_per_second.median == pytest.approx(21 * timing.images_per_second.median)


def test_a_spread_is_median_and_range() -> None:
    assert spread([3.0, 1.0, 9.0]) == Spread(median=3.0, low=1.0, high=9.0)
