"""From decoded values to the 256 levels of a picture, and back, by the rule of a release.

Methods differ in range and rounding (VAR's demo truncates, most evaluations round), which shifts scores: so
the rule is part of the release and lives here alone. Shapes: B pictures, C channels, H x W pixels.
"""

import torch
from torch import Tensor

from genstudio.releases.release import PixelRule

LEVELS = 255


def to_uint8(x_BCHW: Tensor, rule: PixelRule) -> Tensor:
    """Values `rule.low`..`rule.high`, clamped, as uint8 levels 0..255. Not-a-number becomes 0."""
    levels = (x_BCHW.float() - rule.low) / (rule.high - rule.low) * LEVELS
    levels = levels.nan_to_num(0.0, posinf=float(LEVELS), neginf=0.0).clamp(0, LEVELS)
    return (levels.round() if rule.rounding == "round" else levels.floor()).to(torch.uint8)


def to_float(pixels_BCHW: Tensor, rule: PixelRule) -> Tensor:
    """uint8 levels as float32 values `rule.low`..`rule.high`."""
    return pixels_BCHW.float() / LEVELS * (rule.high - rule.low) + rule.low
