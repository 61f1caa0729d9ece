"""How near generated pictures come to the training pictures: the nearest of them, and the share of copies.

A small set is memorised easily, and a Frechet distance rewards it. A picture counts as a copy where it lies
as close to a training picture as the tokenizer can bring that set: within the distance that `SHARE` of the
training pictures keep to their own reconstructions. Distance is the root mean square over all pixels and
channels, in levels of 255.
Shapes: N pictures, M training pictures, C channels, H x W pixels.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

SHARE: Final = 0.95
TOGETHER: Final = 256  # pictures compared with all training pictures at a time


class Nearest(NamedTuple):
    """For every picture the closest training picture, and how far that is."""

    index_N: Tensor
    distance_N: Tensor


def nearest(pixels_NCHW: Tensor, training_MCHW: Tensor) -> Nearest:
    """The closest of the training pictures, the first of several; all uint8 and of one size."""
    if pixels_NCHW.shape[1:] != training_MCHW.shape[1:]:
        raise ValueError(f"{tuple(pixels_NCHW.shape[1:])} cannot be compared with {training_MCHW.shape[1:]}.")
    training_MD = training_MCHW.flatten(1).float()
    found = [_closest(part.flatten(1).float(), training_MD) for part in pixels_NCHW.split(TOGETHER)]
    return Nearest(*map(torch.cat, zip(*found, strict=True)))


def copies(found: Nearest, reconstructed: Tensor) -> Tensor:
    """Which pictures are copies, bool [N]; `reconstructed` are distances of training pictures to their own
    reconstructions."""
    return found.distance_N <= reconstructed.quantile(SHARE)


def apart(pixels_NCHW: Tensor, others_NCHW: Tensor) -> Tensor:
    """The distance of every pair, float32 [N]."""
    return (pixels_NCHW.float() - others_NCHW.float()).square().flatten(1).mean(1).sqrt()


def _closest(x_ND: Tensor, training_MD: Tensor) -> Nearest:
    """The products choose, and the chosen distance is computed anew: products of bright pictures cancel."""
    square_NM = training_MD.square().sum(1) - 2 * x_ND @ training_MD.T
    index_N = square_NM.argmin(1)
    return Nearest(index_N, (x_ND - training_MD[index_N]).square().mean(1).sqrt())
