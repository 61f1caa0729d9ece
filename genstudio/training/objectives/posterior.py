"""Training a KL tokenizer: reconstruction of a sample of the posterior, and its divergence (LDM, 2112.10752).

Shapes: B pictures, C channels, H x W pixels, h x w cells.
"""

from typing import cast

from torch import Tensor, nn

from genstudio.samplers.draws import Use
from genstudio.tokenizers.kl import KL
from genstudio.training.objectives import settings as kinds
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.pixels import PixelsObjective, Remade


class PosteriorObjective(PixelsObjective):
    """Losses of `recipe.KLReconstruction`. The metrics also say the mean square of the codes, which
    generators want near 1: the divergence brings it there, or the config's scale has to."""

    network: KL
    weights: kinds.KLReconstruction
    undecayed = ()

    def remade(self, x_BCHW: Tensor, batch: Batch) -> Remade:
        posterior = self.network.posterior(x_BCHW)
        noise_BChw = batch.draws.normal(Use.POSTERIOR, batch.at, tuple(posterior.mean_BChw.shape[1:]))
        codes_BChw = posterior.sample(noise_BChw) * self.network.config.scale
        divergence = posterior.divergence().mean() / x_BCHW[0].numel()
        parts = {"kl": divergence, "square": codes_BChw.detach().square().mean()}
        return Remade(self.network.decode_together(codes_BChw), self.weights.kl * divergence, parts, {})

    def redrawn(self, network: nn.Module, x_BCHW: Tensor) -> Tensor:
        """By the means of their posteriors."""
        tokenizer = cast(KL, network)
        return tokenizer.decode(tokenizer.latents(tokenizer.encode(x_BCHW)))
