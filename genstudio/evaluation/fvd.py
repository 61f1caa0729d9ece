"""Frechet video distance (arXiv 1812.01717): how two code bases prepare clips and take the distance.

StyleGAN-V scales floats; VideoGPT truncates to 256 levels first, and takes its matrix roots in float32. Both
scale the shorter side bilinearly, without antialias, and crop at the centre. The values differ, so that a
published number is reproduced in its own style. The distance of StyleGAN-V's style is `frechet_distance`.
Shapes: B clips, C channels, T frames, H x W pixels, N rows, D features.
"""

from math import ceil

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

SIZE = 224  # of I3D's input
LEVELS = 255
KEPT_AS_THEY_ARE = 1e-10  # singular values below it


def styleganv_clips(video_BCTHW: Tensor, size: int = SIZE) -> Tensor:
    """Clips in [0, 1] as StyleGAN-V shows them to I3D: [B,C,T,size,size] in [-1, 1]."""
    return 2 * reduced(video_BCTHW, size) - 1


def videogpt_clips(video_BCTHW: Tensor, size: int = SIZE) -> Tensor:
    """Clips in [0, 1] as VideoGPT shows them to I3D: through 256 levels, truncated; then as StyleGAN-V."""
    levels = (video_BCTHW * LEVELS).to(torch.uint8)
    return styleganv_clips(levels.float() / LEVELS, size)


def reduced(video_BCTHW: Tensor, size: int) -> Tensor:
    """Every frame scaled until its shorter side is `size`, then cropped: [B,C,T,size,size].

    The longer side is rounded up, from the product in float64 as both code bases have it: at some sizes that
    gives a square frame one row too many.
    """
    batch, _, _, height, width = video_BCTHW.shape
    scale = size / min(height, width)
    down = size if height < width else ceil(height * scale)
    across = ceil(width * scale) if height < width else size
    frames = rearrange(video_BCTHW, "b c t h w -> (b t) c h w")
    frames = F.interpolate(frames, (down, across), mode="bilinear", align_corners=False)
    top, left = (down - size) // 2, (across - size) // 2
    return rearrange(frames[..., top : top + size, left : left + size], "(b t) c h w -> b c t h w", b=batch)


def videogpt_distance(made_ND: Tensor, real_MD: Tensor) -> float:
    """The distance as VideoGPT's evaluation takes it, in float32."""
    made_ND, real_MD = made_ND.float(), real_MD.float()
    made_DD, real_DD = torch.cov(made_ND.T), torch.cov(real_MD.T)
    root_DD = _rough_root(made_DD)
    overlap = _rough_root(root_DD @ (real_DD @ root_DD)).trace()
    means = (made_ND.mean(0) - real_MD.mean(0)).square().sum()
    return float(means + (made_DD + real_DD).trace() - 2 * overlap)


def _rough_root(matrix_DD: Tensor) -> Tensor:
    """A square root by singular values, of which the smallest stay as they are."""
    left, values_D, right = torch.linalg.svd(matrix_DD)
    roots_D = torch.where(values_D < KEPT_AS_THEY_ARE, values_D, values_D.sqrt())
    return (left * roots_D) @ right
