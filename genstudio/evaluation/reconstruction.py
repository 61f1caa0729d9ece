"""Reconstructions and how close they come: PSNR, and SSIM (Wang et al. 2004), on uint8 levels.

SSIM is the original one: a Gaussian window of 11x11 with sigma 1.5 that never leaves the picture, population
covariances, K1 = 0.01, K2 = 0.03, each channel alone, then the mean. No downscaling, no conversion to grey.
Shapes: B pictures, C channels, H x W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from genstudio.errors import GenstudioError
from genstudio.media.pixels import to_float, to_uint8
from genstudio.releases.release import PixelRule
from genstudio.tokenizers.base import ConvTokenizer

BATCH = 100
PEAK = 255
WINDOW, SIGMA = 11, 1.5
STABILISERS = ((0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2)


def psnr(pictures_BCHW: Tensor, others_BCHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair of uint8 pictures in dB, float64 [B]; equal ones give inf."""
    x, y = _levels(pictures_BCHW), _levels(others_BCHW)
    return 10 * torch.log10(PEAK**2 / (x - y).square().mean((1, 2, 3)))


def ssim(pictures_BCHW: Tensor, others_BCHW: Tensor) -> Tensor:
    """Structural similarity of each pair of uint8 pictures, float64 [B]; 1 for equal ones.

    Raises GenstudioError for pictures smaller than the window.
    """
    if min(pictures_BCHW.shape[2:]) < WINDOW:
        raise GenstudioError(
            f"SSIM needs pictures of {WINDOW}x{WINDOW} pixels or more.", "Use PSNR for smaller pictures."
        )
    x, y = _levels(pictures_BCHW), _levels(others_BCHW)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    cov = _blur(x * y) - mean_x * mean_y
    c1, c2 = STABILISERS
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean((1, 2, 3))


@torch.inference_mode()
def round_trip(tokenizer: ConvTokenizer, pixels_NCHW: Tensor, rule: PixelRule) -> Tensor:
    """uint8 pictures [N,C,H,W] sent through a tokenizer and back, in batches, on the tokenizer's device."""
    device = next(tokenizer.parameters()).device
    parts = []
    for pixels_BCHW in torch.split(pixels_NCHW, BATCH):
        codes = tokenizer.encode(to_float(pixels_BCHW.to(device), rule))
        parts.append(to_uint8(tokenizer.decode(tokenizer.latents(codes)), rule).cpu())
    return torch.cat(parts)


def _levels(pictures_BCHW: Tensor) -> Tensor:
    """In float64; other types than uint8 would hide another peak."""
    if pictures_BCHW.dtype != torch.uint8:
        raise TypeError(f"pictures are compared as uint8 levels, not {pictures_BCHW.dtype}")
    return pictures_BCHW.double()


def _blur(x_BCHW: Tensor) -> Tensor:
    """The Gaussian window as two passes, only where it fits."""
    offsets = torch.arange(WINDOW, dtype=x_BCHW.dtype, device=x_BCHW.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    channels = x_BCHW.shape[1]
    down = weights.view(1, 1, WINDOW, 1).expand(channels, 1, WINDOW, 1)
    across = weights.view(1, 1, 1, WINDOW).expand(channels, 1, 1, WINDOW)
    return F.conv2d(F.conv2d(x_BCHW, down, groups=channels), across, groups=channels)
