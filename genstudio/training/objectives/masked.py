"""The masked objective: denoise the tokens of a random set of places, given all others (MAR, 2406.11838).

A step masks the same number of tokens in every picture, officially too. Official code drops out a tenth of
attention and projections while it trains, and spares the head weight decay, as here; dropout is left out.
Shapes: B pictures, L tokens of a picture, m masked ones, k noises for each, C channels of a token.
"""

import math
from statistics import NormalDist
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn

from genstudio.generators.mar import MAR, token_losses
from genstudio.samplers.diffusion import Diffusion, cosine_abar
from genstudio.samplers.diffusion_loss import DiffusionLoss
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import TIMESTEPS
from genstudio.samplers.values import Given
from genstudio.tokenizers.kl import KL
from genstudio.training.latents import LatentBook
from genstudio.training.objectives import settings as kinds
from genstudio.training.objectives.base import Batch, Losses, Objective
from genstudio.training.objectives.codes import EVALUATED, sampled


class MaskedObjective(Objective):
    """Squared error of the noise plus the bound that the variance learns by, mean over masked tokens."""

    network: MAR
    undecayed = ("head.",)

    def __init__(
        self,
        network: MAR,
        tokenizer: KL,
        settings: kinds.Masked,
        train: LatentBook,
        test: LatentBook,
        device: torch.device,
        sampling: Recipe,
    ) -> None:
        self.network, self.tokenizer, self.settings, self.device = network, tokenizer, settings, device
        self.classes, self.sampling = network.config.classes, sampling
        self.train, self.test = train.to(device), test.to(device)
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads = train.reads
        self.loss = DiffusionLoss(Diffusion.retain(cosine_abar(), range(TIMESTEPS)), device)

    def losses(self, batch: Batch) -> Losses:
        flip_B = batch.coin(Use.FLIP, 0.5) if self.train.flipped_mean is not None else None
        noise_BChw = batch.draws.normal(Use.POSTERIOR, batch.at, tuple(self.train.mean.shape[1:]))
        latents_BChw, label_B = self.train.take(batch.index_B.to(self.device), flip_B, noise_BChw)
        label_B = label_B.masked_fill(batch.coin(Use.DROP, self.settings.label_drop), self.classes)
        masked = math.ceil(self.network.config.codes * self.share(batch))
        mse, bound = self._parts(self.network, latents_BChw, label_B, masked, batch.draws, batch.at)
        return Losses(mse + bound, {"loss": mse + bound, "mse": mse, "bound": bound}, {})

    def share(self, batch: Batch) -> float:
        """The share of tokens that a step masks, the same for all of its passes."""
        place = At(batch.at.seed_R[:1].cpu(), torch.tensor([[batch.step]]))
        u = float(batch.draws.uniform(Use.MASK, place))
        return masked_share(u, self.settings.least, self.settings.deviation)

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Both losses of the test pictures under their labels, half of the tokens masked, at noise that is
        the same for every network."""
        found = []
        for index_B in torch.arange(len(self.test), device=self.device).split(EVALUATED):
            latents_BChw, label_B = self.test.take(index_B, None, None)
            at = At(torch.zeros_like(index_B), index_B[:, None])
            masked = self.network.config.codes // 2
            parts = self._parts(cast(MAR, network), latents_BChw, label_B, masked, KeyedDraws(), at)
            found.append(torch.stack(parts) * len(index_B))
        mse, bound = (torch.stack(found).sum(0) / len(self.test)).tolist()
        return {"test_mse": mse, "test_bound": bound}

    def picture(self, network: nn.Module) -> Tensor:
        """Sampled pictures, spread over the classes."""
        return sampled(cast(MAR, network), self.tokenizer, self.sampling, self.device)

    def _parts(
        self, network: MAR, latents_BChw: Tensor, label_B: Tensor, masked: int, draws: KeyedDraws, at: At
    ) -> tuple[Tensor, Tensor]:
        """Mean squared error and bound, at places, times and noise that are drawn for every picture."""
        config, noises = network.config, self.settings.noises
        order_BL = draws.uniform(Use.MASK, at, (config.codes,)).argsort(dim=1)
        t_Bkm = (draws.uniform(Use.TIME, at, (noises, masked)) * TIMESTEPS).long()
        noise_BkmC = draws.normal(Use.NOISE, at, (noises, masked, config.token_width))
        t_kBm, noise_kBmC = (rearrange(one, "B k ... -> k B ...") for one in (t_Bkm, noise_BkmC))
        tokens_BLC = network.tokens(latents_BChw)
        parts = token_losses(network, self.loss, tokens_BLC, Given(label_B), order_BL, t_kBm, noise_kBmC)
        return parts.mse_N.mean(), parts.bound_N.mean()


def masked_share(u: float, least: float, deviation: float) -> float:
    """The quantile u of a normal distribution around 1 that is cut off at `least` and 1."""
    normal = NormalDist(1.0, deviation)
    below = normal.cdf(least)
    return min(1.0, max(least, normal.inv_cdf(below + u * (0.5 - below))))
