"""VQ tokenizer with one code per cell of a grid (VQGAN, arXiv 2012.09841), as LlamaGen (arXiv 2406.06525)
released it: narrow codes of length 1, compared by angle.

Differs from the official code in that grids need not be square, nothing counts which codes are used, and the
entropy loss, which no released tokenizer was trained with, is left out.
Shapes: B pictures, C code width, h x w cells, L = h*w codes in raster order, N vectors.
"""

from math import isqrt

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genstudio.configs.vq import VQConfig
from genstudio.nn.conv2d import Decoder, Encoder
from genstudio.nn.quantize import Codebook
from genstudio.samplers.values import Codes
from genstudio.tokenizers.base import QuantisingTokenizer
from genstudio.tokenizers.protocol import Sampling


class VQ(QuantisingTokenizer):
    """Pixels in [-1, 1], both sides multiples of the stride, to one code per cell and back."""

    config: VQConfig
    quantize: "GridQuantizer"

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.channels, config.width, config.width_mult, config.res_blocks, config.latent_width)
        self.encoder = Encoder(*shape, config.groups)
        self.quant_conv = nn.Conv2d(config.latent_width, config.code_width, 1)
        self.quantize = GridQuantizer(config)
        self.post_quant_conv = nn.Conv2d(config.code_width, config.latent_width, 1)
        self.decoder = Decoder(*shape, config.groups)

    def encode(self, x_BCHW: Tensor, sampling: Sampling | None = None) -> Codes:
        """Codes of kind "ids" [B,L] in raster order, with their grid."""
        del sampling
        return self.quantize.encode(self.features(x_BCHW))

    def latents(self, codes: Codes) -> Tensor:
        """Code vectors [B,C,h,w]; those of unknown codes are 0, which shows as a flat colour."""
        if codes.kind == "latents":
            return codes.data[0]
        vectors_BLC = self.quantize.lookup(codes.data[0])
        if codes.known_BL is not None:
            vectors_BLC = vectors_BLC * codes.known_BL[..., None]
        return self.latents_of(vectors_BLC, codes.grid[0] if codes.grid else None)

    def codes_of(self, ids_Bn: Tensor) -> Codes:
        """Codes of kind "ids"."""
        return Codes("ids", (ids_Bn,))

    def latents_of(self, vectors_BLC: Tensor, rows: int | None = None) -> Tensor:
        """Vectors laid out as a grid of `rows`, of a square without."""
        return rearrange(vectors_BLC, "B (h w) C -> B C h w", h=rows or isqrt(vectors_BLC.shape[1]))


class GridQuantizer(Codebook):
    """Every cell becomes its nearest code."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__(config.vocab, config.code_width, config.normalised)
        self.beta = config.beta

    def encode(self, f_BChw: Tensor) -> Codes:
        """The nearest code of every cell."""
        return self._codes(self.nearest(_cells(f_BChw)), f_BChw)

    def forward(self, f_BChw: Tensor) -> tuple[Tensor, Tensor, Codes, tuple[Tensor, ...]]:
        """Straight-through latent, codebook loss, codes, the quantised vectors.

        Equation 4 of arXiv 2012.09841, as means: (code - z)^2 teaches codes, beta (z - code)^2 the encoder.
        """
        z_NC = self.scaled(_cells(f_BChw))
        ids_N = self.nearest(z_NC.detach())
        code_NC = self.lookup(ids_N)
        loss = F.mse_loss(code_NC, z_NC.detach()) + self.beta * F.mse_loss(z_NC, code_NC.detach())
        straight_NC = z_NC + (code_NC - z_NC).detach()
        batch, _, rows, columns = f_BChw.shape
        straight_BChw = rearrange(straight_NC, "(B h w) C -> B C h w", B=batch, h=rows, w=columns)
        return straight_BChw, loss, self._codes(ids_N, f_BChw), (z_NC,)

    @staticmethod
    def _codes(ids_N: Tensor, f_BChw: Tensor) -> Codes:
        batch, _, rows, columns = f_BChw.shape
        return Codes("ids", (ids_N.view(batch, -1),), grid=(rows, columns))


def _cells(f_BChw: Tensor) -> Tensor:
    return rearrange(f_BChw, "B C h w -> (B h w) C")
