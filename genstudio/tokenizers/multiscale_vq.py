"""Multi-scale residual VQ tokenizer of VAR (arXiv 2404.02905, section 3.1 and algorithms 1 and 2).

A picture becomes one code map per scale, coarse to fine: each scale quantises what the ones before left over.
Differs from the official code in that nothing here depends on the number of pictures or processes, and in
that codes are looked up apart from being added, since smoothed sampling adds vectors that no id names.
Shapes: B pictures, C code width, h x w latent cells, n = p*p codes of a scale, N vectors, V codes.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.nn.conv2d import GROUPS, Decoder, Encoder
from genstudio.nn.quantize import Codebook
from genstudio.samplers.values import Codes
from genstudio.tokenizers.base import QuantisingTokenizer
from genstudio.tokenizers.protocol import Sampling


class MultiScaleVQ(QuantisingTokenizer):
    """Pixels in [-1, 1] to code maps of `config.sizes` and back."""

    config: MultiScaleVQConfig
    quantize: "ResidualPyramid"

    def __init__(self, config: MultiScaleVQConfig, groups: int = GROUPS) -> None:
        """All released ones have 32 `groups` in their norms."""
        super().__init__()
        self.config = config
        shape = (config.channels, config.width, config.width_mult, config.res_blocks, config.code_width)
        kernel, width = config.quant_kernel, config.code_width
        self.encoder = Encoder(*shape, groups)
        self.quant_conv = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.quantize = ResidualPyramid(config)
        self.post_quant_conv = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.decoder = Decoder(*shape, groups)

    @property
    def pyramid(self) -> "ResidualPyramid":
        """What a next-scale sampler needs: add a scale, feed the next."""
        return self.quantize

    def encode(self, x_BCHW: Tensor, sampling: Sampling | None = None) -> Codes:
        """Codes of kind "scales": one id map [B, p*p] per scale, row major."""
        del sampling
        return self.quantize.encode(self.features(x_BCHW))

    def latents(self, codes: Codes) -> Tensor:
        """The accumulated latent [B,C,h,w] of all given scales (the first few give a preview)."""
        if codes.kind == "latents":
            return codes.data[0]
        return self.quantize.accumulate(codes)[-1]

    def codes_of(self, ids_Bn: Tensor) -> Codes:
        """Codes of kind "scales": of the first few, where they end with a scale."""
        areas = [size * size for size in self.config.sizes]
        whole = next(count for count in range(len(areas) + 1) if sum(areas[:count]) == ids_Bn.shape[1])
        return Codes("scales", ids_Bn.split(areas[:whole], dim=1))

    def latents_of(self, vectors_BLC: Tensor) -> Tensor:
        """The sum over all scales."""
        f_BChw = self.quantize.start(len(vectors_BLC))
        parts = vectors_BLC.split([size * size for size in self.config.sizes], dim=1)
        for scale, vectors_BnC in enumerate(parts):
            f_BChw = self.quantize.add(f_BChw, vectors_BnC, scale)
        return f_BChw


class ResidualPyramid(Codebook):
    """One codebook for all scales, and the few 3x3 convolutions (phi) that follow each upsampling."""

    def __init__(self, config: MultiScaleVQConfig) -> None:
        super().__init__(config.vocab, config.code_width)
        self.sizes, self.ratio, self.beta = config.sizes, config.phi_ratio, config.beta
        width = config.code_width
        self.phis = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(config.phis))
        self.phi_of_scale = phi_indices(len(config.sizes), config.phis)

    def start(self, batch: int) -> Tensor:
        """The empty latent of `batch` pictures."""
        side = self.sizes[-1]
        return self.codebook.weight.new_zeros(batch, self.codebook.embedding_dim, side, side)

    def add(self, f_BChw: Tensor, vectors_BnC: Tensor, scale: int) -> Tensor:
        """The latent after one more scale: f + phi(bicubic upsampling of the code vectors)."""
        return f_BChw + self.detail(vectors_BnC, scale, f_BChw.shape[-1])

    def feed(self, f_BChw: Tensor, scale: int) -> Tensor:
        """What a transformer reads to predict `scale`: the latent so far, area-resized, [B, p*p, C]."""
        return _cells(F.interpolate(f_BChw, size=(self.sizes[scale],) * 2, mode="area"))

    def teacher(self, codes: Codes) -> Tensor:
        """The feeds of all scales after the first, [B, L-1, C]: the input of a teacher-forced pass."""
        latents = self.accumulate(codes)
        feeds = [self.feed(f, scale) for scale, f in enumerate(latents[:-1], start=1)]
        return torch.cat(feeds, dim=1)

    def accumulate(self, codes: Codes) -> list[Tensor]:
        """The latent [B,C,h,w] after each given scale."""
        f_BChw, latents = self.start(codes.data[0].shape[0]), []
        for scale, ids_Bn in enumerate(codes.data):
            f_BChw = self.add(f_BChw, self.lookup(ids_Bn), scale)
            latents.append(f_BChw)
        return latents

    def encode(self, f_BChw: Tensor) -> Codes:
        """Residual quantisation (algorithm 1)."""
        rest_BChw, ids = f_BChw, []
        for scale in range(len(self.sizes)):
            ids_Bn = self.nearest(self.shrink(rest_BChw, scale)).view(f_BChw.shape[0], -1)
            rest_BChw = rest_BChw - self.detail(self.lookup(ids_Bn), scale, f_BChw.shape[-1])
            ids.append(ids_Bn)
        return Codes("scales", tuple(ids))

    def forward(self, f_BChw: Tensor) -> tuple[Tensor, Tensor, Codes, tuple[Tensor, ...]]:
        """Straight-through latent, codebook loss (mean over scales), codes, the quantised vectors."""
        target_BChw = f_BChw.detach()
        rest_BChw, sum_BChw = target_BChw, torch.zeros_like(target_BChw)
        loss, ids, residuals = f_BChw.new_zeros(()), [], []
        for scale in range(len(self.sizes)):
            z_NC = self.shrink(rest_BChw, scale)
            ids_Bn = self.nearest(z_NC).view(f_BChw.shape[0], -1)
            detail_BChw = self.detail(self.lookup(ids_Bn), scale, f_BChw.shape[-1])
            sum_BChw, rest_BChw = sum_BChw + detail_BChw, rest_BChw - detail_BChw.detach()
            loss = (
                loss + self.beta * F.mse_loss(sum_BChw.detach(), f_BChw) + F.mse_loss(sum_BChw, target_BChw)
            )
            ids.append(ids_Bn)
            residuals.append(z_NC)
        straight_BChw = f_BChw + (sum_BChw - target_BChw).detach()
        return straight_BChw, loss / len(self.sizes), Codes("scales", tuple(ids)), tuple(residuals)

    def shrink(self, rest_BChw: Tensor, scale: int) -> Tensor:
        """The vectors [N,C] that a scale quantises: area means, except that the last scale is not resized."""
        if scale < len(self.sizes) - 1:
            rest_BChw = F.interpolate(rest_BChw, size=(self.sizes[scale],) * 2, mode="area")
        return rearrange(rest_BChw, "B C h w -> (B h w) C")

    def detail(self, vectors_BnC: Tensor, scale: int, side: int) -> Tensor:
        """phi(upsampled vectors): h -> (1 - r) h + r conv(h); the last scale is not resized."""
        h_BChw = rearrange(vectors_BnC, "B (h w) C -> B C h w", h=self.sizes[scale]).contiguous()
        if scale < len(self.sizes) - 1:
            h_BChw = F.interpolate(h_BChw, size=(side, side), mode="bicubic")
        phi = self.phis[self.phi_of_scale[scale]]
        return h_BChw * (1 - self.ratio) + phi(h_BChw) * self.ratio


def phi_indices(scales: int, phis: int) -> tuple[int, ...]:
    """Which phi serves which scale: the nearest of `phis` ticks to s/(K-1).

    In float64 as numpy computes it, because exact mathematical ties occur (K = 10, 4 phis: scales 2 and 7 go
    to 1 and 3). Four phis have ticks from 1/12 to 11/12; any other count sits at the middles of equal parts.
    """
    margin = 1 / 3 / phis if phis == 4 else 1 / 2 / phis
    ticks = np.linspace(margin, 1 - margin, phis)
    places = [scale / (scales - 1) if scales > 1 else 0.0 for scale in range(scales)]
    return tuple(int(np.argmin(np.abs(ticks - place))) for place in places)


def _cells(f_BChw: Tensor) -> Tensor:
    return rearrange(f_BChw, "B C h w -> B (h w) C")
