"""Posteriors of a whole set of pictures, encoded once and kept on disk, as MAR trains on cached moments.

A KL tokenizer says a distribution; every epoch learns from a new sample of it. Kept as float16: the rounding
is far below the deviation of any posterior.
Shapes: N pictures, B a batch, C channels, h x w cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from genstudio.data.pictures import Pictures
from genstudio.tokenizers.kl import KL
from genstudio.training.codes import ENCODED, stored_once
from genstudio.training.objectives.base import to_unit
from genstudio.training.rehearsal import Rehearsal


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentBook:
    """Means and standard deviations [N,C,h,w] of scaled codes, and the labels; `flipped` ones are those of
    the mirrored pictures. `reads` holds fingerprints of the pictures and of the tokenizer."""

    reads: Mapping[str, str]
    mean: Tensor
    std: Tensor
    labels: Tensor
    flipped_mean: Tensor | None = None
    flipped_std: Tensor | None = None

    def __len__(self) -> int:
        return len(self.mean)

    def to(self, device: torch.device) -> "LatentBook":
        """The same on a device."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return LatentBook(**{**values, **moved})

    def take(
        self, index_B: Tensor, flip_B: Tensor | None, noise_BChw: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Codes float32 [B,C,h,w] and labels [B] of these pictures, mirrored where `flip_B` says so: samples
        by standard normal noise, or the means without it."""
        mean_BChw, std_BChw = self.mean[index_B].float(), self.std[index_B].float()
        if flip_B is not None:
            assert self.flipped_mean is not None and self.flipped_std is not None
            flip_B111 = flip_B[:, None, None, None]
            mean_BChw = torch.where(flip_B111, self.flipped_mean[index_B].float(), mean_BChw)
            std_BChw = torch.where(flip_B111, self.flipped_std[index_B].float(), std_BChw)
        codes_BChw = mean_BChw if noise_BChw is None else mean_BChw + std_BChw * noise_BChw
        return codes_BChw, self.labels[index_B]


def encoded_latents(
    tokenizer: KL, pictures: Pictures, flip: bool, folder: Path, rehearsal: Rehearsal | None = None
) -> LatentBook:
    """The posteriors of all pictures, from `folder` where they were encoded before; a `rehearsal` encodes few
    of them and writes nothing."""
    encode = partial(_encode, tokenizer, pictures, flip)
    reads, stored = stored_once(tokenizer, pictures, flip, folder, encode, rehearsal)
    return LatentBook(reads=reads, **stored)


@torch.no_grad()
def _encode(tokenizer: KL, pictures: Pictures, flip: bool, count: int) -> dict[str, Tensor]:
    device = next(tokenizer.parameters()).device
    parts: list[dict[str, Tensor]] = []
    for index_n in torch.arange(count).split(ENCODED):
        x_nCHW = to_unit(pictures.pixels(index_n), device)
        made = _moments(tokenizer, x_nCHW, "")
        if flip:
            made |= _moments(tokenizer, x_nCHW.flip(-1), "flipped_")
        parts.append({**made, "labels": pictures.labels(index_n)})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _moments(tokenizer: KL, x_nCHW: Tensor, prefix: str) -> dict[str, Tensor]:
    posterior, scale = tokenizer.posterior(x_nCHW), tokenizer.config.scale
    mean, std = posterior.mean_BChw * scale, (posterior.logvar_BChw / 2).exp() * scale
    return {f"{prefix}mean": mean.half().cpu(), f"{prefix}std": std.half().cpu()}
