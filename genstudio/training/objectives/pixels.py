"""What objectives of tokenizers share: how close a reconstruction comes, a perceptual loss, a patch critic.

VAR, LlamaGen and MAR's KL-16 train with VQGAN's compound loss (arXiv 2012.09841). A kind adds what its
latents cost.
Shapes: B pictures, C channels, H x W pixels, D features.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.data.pictures import Pictures, batches
from genstudio.evaluation.classifier import Classifier
from genstudio.processes import Processes
from genstudio.samplers.draws import Use
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.training.objectives import settings as kinds
from genstudio.training.objectives.adversarial import Critic, adaptive_weight, critic_loss, fooling_loss
from genstudio.training.objectives.base import Batch, Losses, Objective, mirrored, to_unit

SHOWN, EVALUATED = 16, 256


class Remade(NamedTuple):
    """A reconstruction before clamping, what its latents cost, and what the metrics say of them."""

    x_BCHW: Tensor
    cost: Tensor
    parts: dict[str, Tensor]
    counts: dict[str, Tensor]


class PixelsObjective(Objective):
    """Weighted losses of `settings.PixelLosses` on one set of pictures; `test` is for evaluation alone."""

    network: ConvTokenizer
    weights: kinds.PixelLosses

    def __init__(
        self,
        network: ConvTokenizer,
        weights: kinds.PixelLosses,
        train: Pictures,
        test: Pictures,
        flip: bool,
        device: torch.device,
        critic: Critic | None = None,
        extractor: Classifier | None = None,
    ) -> None:
        self.network, self.flip, self.device, self.weights = network, flip, device, weights
        self.train, self.test, self.extractor = train, test, extractor
        self.helpers: Mapping[str, nn.Module] = {} if critic is None else {"critic": critic}
        self.critic = critic
        self.examples = len(train)
        self.reads = {"data": train.fingerprint}

    @property
    def meets(self) -> bool:
        """The weight of the critic is that of all processes."""
        return self.critic is not None

    @abstractmethod
    def remade(self, x_BCHW: Tensor, batch: Batch) -> Remade:
        """The training pass of the tokenizer."""

    @abstractmethod
    def redrawn(self, network: nn.Module, x_BCHW: Tensor) -> Tensor:
        """The pictures as the network, or its average, redraws them when nothing is drawn at random."""

    def losses(self, batch: Batch) -> Losses:
        x_BCHW = to_unit(self.train.pixels(batch.index_B), self.device)
        if self.flip:
            x_BCHW = mirrored(x_BCHW, batch.coin(Use.FLIP, 0.5))
        made = self.remade(x_BCHW, batch)
        y_BCHW, weights = made.x_BCHW.float(), self.weights
        parts = {"l1": F.l1_loss(y_BCHW, x_BCHW), "l2": F.mse_loss(y_BCHW, x_BCHW), **made.parts}
        pixels = weights.l1 * parts["l1"] + weights.l2 * parts["l2"]
        if self.extractor is not None:
            parts["perceptual"] = self._feature_distance(self.extractor, x_BCHW, y_BCHW)
            pixels = pixels + weights.perceptual * parts["perceptual"]
        total = pixels + made.cost
        if self.critic is not None and batch.progress >= weights.adversarial_start:
            total = total + self._adversarial(self.critic, x_BCHW, y_BCHW, pixels, parts, batch.processes)
        return Losses(total, {"loss": total, **parts}, made.counts)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean squared error and mean PSNR (dB, of values in [-1, 1]) of the test pictures."""
        errors = [self._squared_error(network, index_n) for index_n in batches(self.test, EVALUATED)]
        error_N = torch.cat(errors)
        return {"test_l2": error_N.mean().item(), "test_psnr": (10 * torch.log10(4 / error_N)).mean().item()}

    @torch.no_grad()
    def picture(self, network: nn.Module) -> Tensor:
        """Test pictures in the odd rows, what the tokenizer makes of them below each."""
        x_BCHW = to_unit(self.test.pixels(range(min(SHOWN, len(self.test)))), self.device)
        pairs = zip(
            torch.split(x_BCHW, 8), torch.split(self.redrawn(network, x_BCHW).clamp(-1, 1), 8), strict=True
        )
        return torch.cat([half for pair in pairs for half in pair])

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
        return (
            (self.redrawn(network, x_BCHW).clamp(-1, 1) - x_BCHW)
            .square()
            .flatten(1)
            .mean(dim=1)
            .clamp_min(1e-12)
        )
