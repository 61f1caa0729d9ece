"""Training a vector-quantising tokenizer: reconstruction, codebook, and optional perceptual and patch losses.

VAR and LlamaGen train with VQGAN's compound loss (arXiv 2012.09841); VAR never released this part. Codes that
nothing chooses are restarted at vectors of the batch, which also fills the codebook after the first step: a
codebook that starts at random is not near any latent.
Shapes: B pictures, C channels, H x W pixels, K scales, V codes, N vectors, D code width.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.data.pictures import Pictures, batches
from genstudio.evaluation.classifier import Classifier
from genstudio.processes import Processes
from genstudio.samplers.draws import At, Use
from genstudio.tokenizers.base import QuantisingTokenizer, Reconstruction
from genstudio.training import recipe as recipes
from genstudio.training.objectives.adversarial import Critic, adaptive_weight, critic_loss, fooling_loss
from genstudio.training.objectives.base import Batch, Losses, Objective, Rewrite, mirrored, to_unit

CODEBOOK = "quantize.codebook.weight"
SHOWN, EVALUATED = 16, 256


class TokenizerObjective(Objective):
    """Weighted losses of `recipe.Reconstruction` on one set of pictures; `test` is for evaluation alone."""

    undecayed = ("codebook",)

    def __init__(
        self,
        network: QuantisingTokenizer,
        weights: recipes.Reconstruction,
        train: Pictures,
        test: Pictures,
        flip: bool,
        device: torch.device,
        critic: Critic | None = None,
        extractor: Classifier | None = None,
    ) -> None:
        self.network, self.weights, self.flip, self.device = network, weights, flip, device
        self.train, self.test, self.extractor = train, test, extractor
        self.helpers = {} if critic is None else {"critic": critic}
        self.critic = critic
        self.examples = len(train)
        self.reads = {"data": train.fingerprint}
        self.idle_V = torch.full((network.config.vocab,), weights.restart_after, device=device)
        self._residuals: list[tuple[Tensor, ...]] = []

    @property
    def meets(self) -> bool:
        """The weight of the critic is that of all processes."""
        return self.critic is not None

    def begin_step(self) -> None:
        self._residuals = []

    def losses(self, batch: Batch) -> Losses:
        x_BCHW = to_unit(self.train.pixels(batch.index_B), self.device)
        if self.flip:
            x_BCHW = mirrored(x_BCHW, batch.coin(Use.FLIP, 0.5))
        made: Reconstruction = self.network(x_BCHW)
        self._residuals.append(tuple(z_NC.detach() for z_NC in made.residuals))
        y_BCHW = made.x_BCHW.float()
        parts = {
            "l1": F.l1_loss(y_BCHW, x_BCHW),
            "l2": F.mse_loss(y_BCHW, x_BCHW),
            "vq": made.vq_loss.float(),
        }
        if self.extractor is not None:
            parts["perceptual"] = self._feature_distance(self.extractor, x_BCHW, y_BCHW)
        weights = self.weights
        pixels = weights.l1 * parts["l1"] + weights.l2 * parts["l2"]
        if "perceptual" in parts:
            pixels = pixels + weights.perceptual * parts["perceptual"]
        parts["vq"] = made.vq_loss.float()
        total = pixels + weights.vq * parts["vq"]
        if self.critic is not None and batch.progress >= weights.adversarial_start:
            total = total + self._adversarial(self.critic, x_BCHW, y_BCHW, pixels, parts, batch.processes)
        counts_KV = torch.stack([self._count(ids_Bn) for ids_Bn in made.codes.data])
        return Losses(total, {"loss": total, **parts}, {"codes": counts_KV})

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

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean squared error and mean PSNR (dB, of values in [-1, 1]) of the test pictures."""
        errors = [self._squared_error(network, index_n) for index_n in batches(self.test, EVALUATED)]
        error_N = torch.cat(errors)
        return {"test_l2": error_N.mean().item(), "test_psnr": (10 * torch.log10(4 / error_N)).mean().item()}

    def picture(self, network: nn.Module) -> Tensor:
        """Test pictures in the odd rows, what the tokenizer makes of them below each."""
        x_BCHW = to_unit(self.test.pixels(range(min(SHOWN, len(self.test)))), self.device)
        pairs = zip(torch.split(x_BCHW, 8), torch.split(_remade(network, x_BCHW), 8), strict=True)
        return torch.cat([half for pair in pairs for half in pair])

    def _count(self, ids_Bn: Tensor) -> Tensor:
        return torch.bincount(ids_Bn.flatten(), minlength=len(self.idle_V))

    def _feature_distance(self, extractor: Classifier, x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
        """LPIPS without learned weights (arXiv 1801.03924): squared distance of the channel-normalised maps,
        mean over cells, summed over stages."""
        with torch.no_grad():
            real = [F.normalize(one_BDhw.float()) for one_BDhw in extractor.maps(x_BCHW)]
        made = [F.normalize(one_BDhw.float()) for one_BDhw in extractor.maps(y_BCHW)]
        distances = [(a - b).square().sum(dim=1).mean() for a, b in zip(real, made, strict=True)]
        return torch.stack(distances).sum()

    def _adversarial(
        self,
        critic: Critic,
        x_BCHW: Tensor,
        y_BCHW: Tensor,
        pixels: Tensor,
        parts: dict[str, Tensor],
        processes: Processes,
    ) -> Tensor:
        """Both games at once: `fooling` reaches the tokenizer alone, `critic` the critic alone."""
        fooling = fooling_loss(critic, y_BCHW)
        last = self.network.get_parameter("decoder.conv_out.weight")
        scale = pixels.new_ones(())
        if self.weights.adaptive:
            scale = adaptive_weight(pixels, fooling, last, processes)
        parts["fooling"] = fooling
        parts["critic"] = critic_loss(critic, x_BCHW, y_BCHW.detach())
        return self.weights.adversarial * scale * fooling + parts["critic"]

    @torch.no_grad()
    def _squared_error(self, network: nn.Module, index_n: Tensor) -> Tensor:
        x_BCHW = to_unit(self.test.pixels(index_n), self.device)
        return (_remade(network, x_BCHW) - x_BCHW).square().flatten(1).mean(dim=1).clamp_min(1e-12)


@torch.no_grad()
def _remade(network: nn.Module, x_BCHW: Tensor) -> Tensor:
    return network(x_BCHW).x_BCHW.clamp(-1, 1)
