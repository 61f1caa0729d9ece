"""KL tokenizer: continuous codes, a normal distribution for every cell (LDM, arXiv 2112.10752; MAR's KL-16).

A code is a sample of the posterior times a constant, or its mean where nothing is sampled; what is not known
yet is 0, the mean of all codes. Differs from the official code in that attention stands at named levels, not
where the side of some picture would equal a number, and in that noise is drawn by cell.
Shapes: B pictures, C code width, h x w cells, L = h*w codes in raster order.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from genstudio.configs.kl import KLConfig
from genstudio.nn.conv2d import Decoder, Encoder
from genstudio.samplers.draws import At, Use
from genstudio.samplers.values import Codes
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.tokenizers.protocol import Sampling

LEAST, MOST = -30.0, 20.0  # of a log variance


class Posterior(NamedTuple):
    """Independent normal distributions of all numbers of a latent, before the scale: [B,C,h,w] each."""

    mean_BChw: Tensor
    logvar_BChw: Tensor

    def sample(self, noise_BChw: Tensor) -> Tensor:
        """A latent from standard normal noise."""
        return self.mean_BChw + (self.logvar_BChw / 2).exp() * noise_BChw

    def divergence(self) -> Tensor:
        """The Kullback-Leibler divergence from the standard normal distribution, in nats a picture, [B]."""
        terms_BChw = self.mean_BChw**2 + self.logvar_BChw.exp() - 1 - self.logvar_BChw
        return 0.5 * terms_BChw.flatten(1).sum(dim=1)


class KL(ConvTokenizer):
    """Pixels in [-1, 1], both sides multiples of the stride, to scaled latents and back."""

    config: KLConfig

    def __init__(self, config: KLConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.channels, config.width, config.width_mult, config.res_blocks)
        moments = 2 * config.code_width
        self.encoder = Encoder(*shape, moments, config.groups, config.attention)
        self.quant_conv = nn.Conv2d(moments, moments, 1)
        self.post_quant_conv = nn.Conv2d(config.code_width, config.code_width, 1)
        self.decoder = Decoder(*shape, config.code_width, config.groups, config.decoder_attention)

    def posterior(self, x_BCHW: Tensor) -> Posterior:
        """What the encoder says of pictures, in float32 or wider."""
        moments_BMhw = self.features(x_BCHW)
        moments_BMhw = moments_BMhw.to(torch.promote_types(moments_BMhw.dtype, torch.float32))
        mean_BChw, logvar_BChw = moments_BMhw.chunk(2, dim=1)
        return Posterior(mean_BChw, logvar_BChw.clamp(LEAST, MOST))

    def encode(self, x_BCHW: Tensor, sampling: Sampling | None = None) -> Codes:
        """Codes of kind "latents" [B,C,h,w]: samples of the posterior, or its means without `sampling`."""
        posterior = self.posterior(x_BCHW)
        if sampling is None:
            return Codes("latents", (posterior.mean_BChw * self.config.scale,))
        batch, width, rows, columns = posterior.mean_BChw.shape
        cell_L1 = torch.arange(rows * columns, device=x_BCHW.device)[:, None]
        at = At.grid(sampling.seed_B, cell_L1)
        noise_RC = sampling.draws.normal(Use.POSTERIOR, at, (width,))
        noise_BChw = rearrange(noise_RC, "(B h w) C -> B C h w", B=batch, h=rows)
        return Codes("latents", (posterior.sample(noise_BChw) * self.config.scale,))

    def latents(self, codes: Codes) -> Tensor:
        """The codes themselves, 0 where they are not known."""
        codes_BChw = codes.data[0]
        if codes.known_BL is None:
            return codes_BChw
        return codes_BChw * codes.known_BL.view(len(codes_BChw), 1, *codes_BChw.shape[2:])

    def decode_together(self, f_BChw: Tensor) -> Tensor:
        """Pixels of scaled latents, which walks hold in float32."""
        latents_BChw = (f_BChw / self.config.scale).to(self.post_quant_conv.weight.dtype)
        return super().decode_together(latents_BChw)
