"""The uint8 rules: rounding, truncation, ranges."""

import torch

from genstudio.media.pixels import to_float, to_uint8
from genstudio.releases.release import PixelRule

ROUND, TRUNCATE = PixelRule(), PixelRule(rounding="truncate")


def test_the_ends_of_the_range_are_black_and_white_and_beyond_is_clamped() -> None:
    x = torch.tensor([-3.0, -1.0, 1.0, 3.0, torch.inf, -torch.inf, torch.nan])
    assert to_uint8(x, ROUND).tolist() == [0, 0, 255, 255, 255, 0, 0]


def test_rounding_and_truncation_differ_by_the_rule() -> None:
    x = torch.tensor([0.6, 0.4]) / 255 * 2 - 1
    assert to_uint8(x, ROUND).tolist() == [1, 0]
    assert to_uint8(x, TRUNCATE).tolist() == [0, 0]
    unit = PixelRule(low=0.0, high=1.0)
    assert to_uint8(torch.tensor([0.5]), unit).tolist() == [128]


def test_every_level_comes_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    for rule in (ROUND, PixelRule(low=0.0, high=1.0), PixelRule(low=-0.5, high=3.0)):
        assert torch.equal(to_uint8(to_float(levels, rule), rule), levels)
    assert to_float(levels, ROUND)[[0, 255]].tolist() == [-1.0, 1.0]


def test_half_precision_is_converted_in_full() -> None:
    x = torch.linspace(-1, 1, 1001).bfloat16()
    assert torch.equal(to_uint8(x, ROUND), to_uint8(x.float(), ROUND))
