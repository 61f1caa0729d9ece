"""Training a vector-quantising tokenizer: reconstruction, codebook, and optional perceptual and patch losses.

Codes that nothing chooses are restarted at vectors of the batch, which also fills the codebook after the
first step: a codebook that starts at random is not near any latent. VAR never released this part.
Shapes: B pictures, C channels, H x W pixels, K scales, V codes, N vectors, D code width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genstudio.data.pictures import Pictures
from genstudio.evaluation.classifier import Classifier
from genstudio.samplers.draws import At, Use
from genstudio.tokenizers.base import QuantisingTokenizer, Reconstruction
from genstudio.training.objectives import settings as kinds
from genstudio.training.objectives.adversarial import Critic
from genstudio.training.objectives.base import Batch, Rewrite
from genstudio.training.objectives.pixels import PixelsObjective, Remade

CODEBOOK = "quantize.codebook.weight"


class TokenizerObjective(PixelsObjective):
    """Losses of `recipe.Reconstruction`."""

    network: QuantisingTokenizer
    weights: kinds.Reconstruction
    undecayed = ("codebook",)

    def __init__(
        self,
        network: QuantisingTokenizer,
        weights: kinds.Reconstruction,
        train: Pictures,
        test: Pictures,
        flip: bool,
        device: torch.device,
        critic: Critic | None = None,
        extractor: Classifier | None = None,
    ) -> None:
        super().__init__(network, weights, train, test, flip, device, critic, extractor)
        self.idle_V = torch.full((network.config.vocab,), weights.restart_after, device=device)
        self._residuals: list[tuple[Tensor, ...]] = []

    def begin_step(self) -> None:
        self._residuals = []

    def remade(self, x_BCHW: Tensor, batch: Batch) -> Remade:
        del batch
        made: Reconstruction = self.network(x_BCHW)
        self._residuals.append(tuple(z_NC.detach() for z_NC in made.residuals))
        vq = made.vq_loss.float()
        counts_KV = torch.stack([self._count(ids_Bn) for ids_Bn in made.codes.data])
        return Remade(made.x_BCHW, self.weights.vq * vq, {"vq": vq}, {"codes": counts_KV})

    def redrawn(self, network: nn.Module, x_BCHW: Tensor) -> Tensor:
        made: Reconstruction = network(x_BCHW)
        return made.x_BCHW

    def after_step(self, batch: Batch, counts: Mapping[str, Tensor]) -> tuple[Rewrite, ...]:
        """Codes idle for `restart_after` steps move to vectors of the step, chosen by keyed draws."""
        passes = self._residuals
        if self.weights.restart_after == 0:
            return ()
        self.idle_V.add_(1).masked_fill_(counts["codes"].sum(dim=0) > 0, 0)
        row_N = (self.idle_V >= self.weights.restart_after).nonzero()[:, 0]
        if len(row_N) == 0:
            return ()
        # Scale by scale, pictures in their order: the same rows however the step was split.
        scales = zip(*passes, strict=True)
        z_MD = torch.cat([batch.processes.joined(z_ND) for parts in scales for z_ND in parts])
        place_N2 = torch.stack([torch.full_like(row_N, batch.step), row_N], dim=1)
        at = At(batch.at.seed_R[:1].expand(len(row_N)), place_N2)
        chosen_N = batch.draws.below(Use.INIT, at, len(z_MD))
        self.idle_V[row_N] = 0
        return (Rewrite(CODEBOOK, row_N, z_MD[chosen_N].float()),)

    def derive(self, counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Per scale: the share of codes in use, and the perplexity exp(H) of how they are used."""
        counts_KV = counts["codes"].float()
        share_KV = counts_KV / counts_KV.sum(dim=1, keepdim=True)
        entropy_K = -torch.xlogy(share_KV, share_KV).sum(dim=1)
        used = {"codes_used": (counts_KV.sum(dim=0) > 0).float().mean()}
        return {**used, "use": (counts_KV > 0).float().mean(dim=1), "perplexity": entropy_K.exp()}

    def state(self) -> dict[str, Tensor]:
        return {"idle": self.idle_V}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.idle_V.copy_(state["idle"])

    def _count(self, ids_Bn: Tensor) -> Tensor:
        return torch.bincount(ids_Bn.flatten(), minlength=len(self.idle_V))
