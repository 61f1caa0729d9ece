"""The uint8 rules: rounding, truncation, ranges."""

import pytest
import torch

from genstudio.media.pixels import resized, to_float, to_uint8
from genstudio.releases.release import PixelRule

ROUND, TRUNCATE, HALF_UP = PixelRule(), PixelRule(rounding="truncate"), PixelRule(rounding="half-up")


def test_the_ends_of_the_range_are_black_and_white_and_beyond_is_clamped() -> None:
    x = torch.tensor([-3.0, -1.0, 1.0, 3.0, torch.inf, -torch.inf, torch.nan])
    assert to_uint8(x, ROUND).tolist() == [0, 0, 255, 255, 255, 0, 0]


def test_rounding_and_truncation_differ_by_the_rule() -> None:
    x = torch.tensor([0.6, 0.4]) / 255 * 2 - 1
    assert to_uint8(x, ROUND).tolist() == [1, 0]
    assert to_uint8(x, TRUNCATE).tolist() == [0, 0]
    unit = PixelRule(low=0.0, high=1.0)
    assert to_uint8(torch.tensor([0.5]), unit).tolist() == [128]


def test_halves_go_to_even_levels_or_upwards_by_the_rule() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, 254.5]) / 127.5 - 1
    assert to_uint8(x.double(), HALF_UP).tolist() == [1, 2, 3, 255]
    unit = PixelRule(low=0.0, high=1.0, rounding="half-up")
    assert to_uint8(torch.tensor([0.5, 0.498]), unit).tolist() == [128, 127]


def test_half_up_is_the_official_sum_to_the_last_bit() -> None:
    """clamp(127.5 x + 128, 0, 255), truncated; adding 1 first and a half last is off by a level here."""
    x = torch.rand(1_000_000, generator=torch.manual_seed(0)) * 2.4 - 1.2
    official = (127.5 * x + 128.0).clamp(0, 255).to(torch.uint8)
    assert to_uint8(x, HALF_UP).equal(official)
    assert not ((x + 1) / 2 * 255 + 0.5).clamp(0, 255).to(torch.uint8).equal(official)


def test_every_level_comes_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    for rule in (ROUND, HALF_UP, PixelRule(low=0.0, high=1.0), PixelRule(low=-0.5, high=3.0)):
        assert torch.equal(to_uint8(to_float(levels, rule), rule), levels)
    assert to_float(levels, ROUND)[[0, 255]].tolist() == [-1.0, 1.0]


def test_half_precision_is_converted_in_full() -> None:
    x = torch.linspace(-1, 1, 1001).bfloat16()
    assert torch.equal(to_uint8(x, ROUND), to_uint8(x.float(), ROUND))


def test_resizing_is_bicubic_without_antialiasing_and_before_clamping() -> None:
    """Keys' kernel at a = -0.75 half-way between four values: -3/32, 19/32, 19/32, -3/32. No more than those
    four count, which antialiasing would change; values beyond the range are seen as they are."""
    row = torch.zeros(8)
    row[3:7] = torch.tensor([0.0, 3.0, 1.0, -2.0])
    small_44 = resized(row.expand(1, 1, 8, 8), 4)[0, 0]
    assert small_44[0, 2].item() == pytest.approx((19 * 3.0 + 19 * 1.0 - 3 * 0.0 + 3 * 2.0) / 32, abs=1e-6)
    assert small_44[0].equal(small_44[3]) and small_44.dtype == torch.float32
    x = torch.rand(1, 3, 6, 6)
    assert resized(x, 6).allclose(x)
