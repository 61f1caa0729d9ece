"""From decoded values to the 256 levels of a picture, and back, by the rule of a release.

Methods differ in range and rounding (VAR's demo truncates, LlamaGen rounds halves upwards, most evaluations
round), which shifts scores: so the rule is part of the release and lives here alone.
Shapes: B pictures, C channels, H x W pixels, h x w cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.releases.release import PixelRule

LEVELS = 255


def to_uint8(x_BCHW: Tensor, rule: PixelRule, side: int | None = None) -> Tensor:
    """Values `rule.low`..`rule.high`, resized to `side` if one is given, clamped, as uint8 levels 0..255.
    Not-a-number becomes 0."""
    levels = _levels(x_BCHW.float() if side is None else resized(x_BCHW, side), rule)
    levels = levels.nan_to_num(0.0, posinf=float(LEVELS), neginf=0.0).clamp(0, LEVELS)
    return (levels.round() if rule.rounding == "round" else levels.floor()).to(torch.uint8)


def veiled(x_BCHW: Tensor, known_Bhw: Tensor, rule: PixelRule) -> Tensor:
    """Values with the middle grey over all cells that are not known."""
    known_B1HW = F.interpolate(known_Bhw[:, None].float(), x_BCHW.shape[2:], mode="nearest").bool()
    return torch.where(known_B1HW, x_BCHW, (rule.low + rule.high) / 2)


def to_float(pixels_BCHW: Tensor, rule: PixelRule) -> Tensor:
    """uint8 levels as float32 values `rule.low`..`rule.high`."""
    return pixels_BCHW.float() / LEVELS * (rule.high - rule.low) + rule.low


def resized(x_BCHW: Tensor, side: int) -> Tensor:
    """Values at `side` x `side`, bicubic without antialiasing, before they are clamped to levels: how
    LlamaGen's evaluation brings pictures of 384 and 512 px to 256 (its pictures alias, and so do ours)."""
    return F.interpolate(x_BCHW.float(), (side, side), mode="bicubic", align_corners=False, antialias=False)


def _levels(x_BCHW: Tensor, rule: PixelRule) -> Tensor:
    """Levels before the fraction goes. For "half-up" half a level is added within the one shift that the
    official 127.5 x + 128 is: a second addition would round some pixels otherwise."""
    scale = LEVELS / (rule.high - rule.low)
    if rule.rounding == "half-up":
        return x_BCHW * scale + (0.5 - rule.low * scale)
    return (x_BCHW - rule.low) / (rule.high - rule.low) * LEVELS
