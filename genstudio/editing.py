"""A given picture as codes that keep their places: zero-shot editing by VAR (arXiv 2404.02905) and MAR.

The kept places hold the given picture's codes, at every scale where there are several; what is made anew sees
them. A place is kept where more than half of it is. The mask of a scale is resized bilinearly from the finest
map, and scales of at most three codes are always kept. Official code takes a mask of the finest map: here one
of pixels is averaged over its cells first, so that every pixel counts.
Shapes: B pictures, C channels, H x W pixels, L codes of a picture.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from genstudio.edit import Edit
from genstudio.media.pixels import LEVELS, to_float
from genstudio.releases.release import PixelRule
from genstudio.samplers.values import Codes
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ

ALWAYS_KEPT = 3  # codes of a scale that says too little to be made anew


class Canvas(NamedTuple):
    """The picture under an edit: codes [1,L] with those known that are kept, uint8 pixels, and the share of
    every pixel that is made anew, 0 to 1."""

    codes: Codes
    pixels_CHW: Tensor
    anew_HW: Tensor

    def prefix(self, batch: int) -> Codes:
        """The known codes of `batch` pictures that are made from this one."""
        known_1L = self.codes.known_BL
        assert known_1L is not None
        maps = tuple(one.expand(batch, *one.shape[1:]) for one in self.codes.data)
        return Codes(self.codes.kind, maps, known_1L.expand(batch, -1))

    def paste(self, made_BCHW: Tensor) -> Tensor:
        """uint8 pictures with the kept pixels put back; grey of the mask mixes both."""
        mixed_BCHW = self.pixels_CHW + self.anew_HW * (made_BCHW.float() - self.pixels_CHW)
        return mixed_BCHW.round().to(torch.uint8)


def open_canvas(edit: Edit, tokenizer: ConvTokenizer, rule: PixelRule) -> Canvas:
    """Read and encode what is edited, on the tokenizer's device. Raises GenstudioError for unusable files."""
    size, channels = tokenizer.config.pixels, tokenizer.config.channels
    pixels_CHW = pil_to_tensor(edit.picture(size, channels))
    anew_HW = pil_to_tensor(edit.anew(size))[0].float() / LEVELS
    x_1CHW = to_float(pixels_CHW[None], rule).to(next(tokenizer.parameters()))
    codes = tokenizer.encode(x_1CHW)
    sizes = tokenizer.config.sizes if isinstance(tokenizer, MultiScaleVQ) else (codes.data[0].shape[-1],)
    known_L = known_places(1 - anew_HW, sizes).to(x_1CHW.device)
    return Canvas(codes._replace(known_BL=known_L[None]), pixels_CHW, anew_HW)


def known_places(kept_HW: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Which codes are kept, bool [L] over all scales, from the kept share of every pixel."""
    cells_11hw = F.interpolate(kept_HW[None, None], (sizes[-1],) * 2, mode="area")
    return torch.cat([_kept(cells_11hw, size) for size in sizes])


def _kept(cells_11hw: Tensor, size: int) -> Tensor:
    if size * size <= ALWAYS_KEPT:
        return torch.ones(size * size, dtype=torch.bool)
    share_11hw = F.interpolate(cells_11hw, (size, size), mode="bilinear", align_corners=False)
    return share_11hw.flatten() > 0.5
