"""What convolutional tokenizers share: an encoder and a decoder, with quantisation or a posterior between.

A kind adds its codes (`encode`, `latents`). `decode` works on a few pictures at a time, as their maps are
large, and in the number type of the decoder.
Shapes: B pictures, C code width, h x w latent cells, H x W pixels, N vectors.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from genstudio.nn.conv2d import Decoder, Encoder
from genstudio.nn.quantize import Codebook
from genstudio.samplers.values import Codes
from genstudio.tokenizers.protocol import Sampling

if TYPE_CHECKING:
    from genstudio.configs.multiscale_vq import MultiScaleVQConfig
    from genstudio.configs.vq import VQConfig
    from genstudio.releases.release import TokenizerConfig

CPU_VALUES, GPU_VALUES = 1 << 24, 1 << 26  # of the widest map, for all pictures that are decoded together


class Reconstruction(NamedTuple):
    """One training pass: the picture before clamping, the codebook loss, the codes, what was quantised."""

    x_BCHW: Tensor
    vq_loss: Tensor
    codes: Codes
    residuals: tuple[Tensor, ...]


class ConvTokenizer(nn.Module, ABC):
    """Pixels in [-1, 1] to codes and back.

    The decoder may have another number type than the rest, which it returns to: bfloat16 costs pictures a
    level or two of 255. Codes and latents never do: rounding those costs pictures.
    """

    config: "TokenizerConfig"
    encoder: Encoder
    quant_conv: nn.Conv2d
    post_quant_conv: nn.Conv2d
    decoder: Decoder

    @abstractmethod
    def encode(self, x_BCHW: Tensor, sampling: Sampling | None = None) -> Codes:
        """Codes of pictures in [-1, 1]."""

    @abstractmethod
    def latents(self, codes: Codes) -> Tensor:
        """The latent [B,C,h,w] of as many codes as are given; latents themselves pass through."""

    def features(self, x_BCHW: Tensor) -> Tensor:
        """What the encoder says, [B,C,h,w]: the latent before quantisation, or the moments of a posterior."""
        return self.quant_conv(self.encoder(x_BCHW))

    def decode(self, f_BChw: Tensor, sampling: Sampling | None = None) -> Tensor:
        """Pixels [B, channels, H, W] as the decoder gives them, which may leave [-1, 1]."""
        del sampling
        laid_out = f_BChw.contiguous(memory_format=torch.channels_last)
        parts = [self.decode_together(part) for part in laid_out.split(self._together(f_BChw))]
        return torch.cat(parts).contiguous()

    def decode_together(self, f_BChw: Tensor) -> Tensor:
        """The same for all pictures at once, as a training pass needs it."""
        z_BChw = self.post_quant_conv(f_BChw)
        return self.decoder(z_BChw.to(self.decoder.conv_in.weight.dtype)).to(f_BChw.dtype)

    def _together(self, f_BChw: Tensor) -> int:
        """How many pictures are decoded together: more take memory, but no less time."""
        values = self.config.width * f_BChw.shape[-2] * f_BChw.shape[-1] * self.config.stride**2
        return max(1, (GPU_VALUES if f_BChw.is_cuda else CPU_VALUES) // values)


class QuantisingTokenizer(ConvTokenizer):
    """A tokenizer whose codes are ids of a finite table."""

    config: "MultiScaleVQConfig | VQConfig"
    quantize: Codebook  # called with features: what reaches the decoder, the rest of a Reconstruction

    @abstractmethod
    def codes_of(self, ids_Bn: Tensor) -> Codes:
        """The first n ids of every picture, in the order of generation, as `latents` reads them."""

    @abstractmethod
    def latents_of(self, vectors_BLC: Tensor) -> Tensor:
        """The latent [B,C,h,w] of a vector for every code, which no id need name."""

    def forward(self, x_BCHW: Tensor) -> Reconstruction:
        """The training pass: gradients pass the quantiser straight through.

        Under autocast the quantiser stays in float32: bf16 vectors would choose other codes than sampling.
        """
        f_BChw = self.features(x_BCHW)
        with torch.autocast(x_BCHW.device.type, enabled=False):
            straight_BChw, loss, codes, residuals = self.quantize(f_BChw.to(self.quantize.table_VC.dtype))
        return Reconstruction(self.decode_together(straight_BChw), loss, codes, residuals)
