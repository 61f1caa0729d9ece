"""Training the small classifiers whose features score pictures: cross-entropy with keyed shifts and flips.

Shapes: B pictures, C channels, H x W pixels, V classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.data.pictures import Pictures, batches
from genstudio.samplers.draws import Use
from genstudio.training import recipe as recipes
from genstudio.training.objectives.base import Batch, Losses, Objective, mirrored, to_unit

EVALUATED = 256
ROWS, COLUMNS = 0, 1


class ClassifierObjective(Objective):
    """Cross-entropy of labels; `test` is for evaluation alone."""

    undecayed = ()

    def __init__(
        self,
        network: nn.Module,
        settings: recipes.Classification,
        train: Pictures,
        test: Pictures,
        flip: bool,
        device: torch.device,
    ) -> None:
        self.network, self.settings, self.flip, self.device = network, settings, flip, device
        self.train, self.test = train, test
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads = {"data": train.fingerprint}

    def losses(self, batch: Batch) -> Losses:
        x_BCHW = self._varied(to_unit(self.train.pixels(batch.index_B), self.device), batch)
        label_B = self.train.labels(batch.index_B).to(self.device)
        logits_BV = self.network(x_BCHW).logits.float()
        total = F.cross_entropy(logits_BV, label_B, label_smoothing=self.settings.smoothing)
        accuracy = (logits_BV.detach().argmax(-1) == label_B).float().mean()
        return Losses(total, {"loss": total, "accuracy": accuracy}, {})

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Share of the test pictures whose label is the most likely one."""
        right = 0
        for index_n in batches(self.test, EVALUATED):
            x_BCHW = to_unit(self.test.pixels(index_n), self.device)
            right += int((network(x_BCHW).logits.argmax(-1).cpu() == self.test.labels(index_n)).sum())
        return {"test_accuracy": right / len(self.test)}

    def _varied(self, x_BCHW: Tensor, batch: Batch) -> Tensor:
        if self.flip:
            x_BCHW = mirrored(x_BCHW, batch.coin(Use.FLIP, 0.5))
        if (most := self.settings.shift) == 0:
            return x_BCHW
        down_B = batch.below(Use.FLIP, ROWS, 2 * most + 1)
        right_B = batch.below(Use.FLIP, COLUMNS, 2 * most + 1)
        return shifted(x_BCHW, down_B, right_B, most)


def shifted(x_BCHW: Tensor, down_B: Tensor, right_B: Tensor, most: int) -> Tensor:
    """Pictures cut out of themselves, widened by `most` pixels of their edge, at an offset in [0, 2 most]."""
    height, width = x_BCHW.shape[2:]
    wide_BCHW = F.pad(x_BCHW, (most,) * 4, mode="replicate")
    row_BH = down_B[:, None] + torch.arange(height, device=x_BCHW.device)
    column_BW = right_B[:, None] + torch.arange(width, device=x_BCHW.device)
    at_B = torch.arange(len(x_BCHW), device=x_BCHW.device)[:, None, None]
    cut_BHWC = wide_BCHW.permute(0, 2, 3, 1)[at_B, row_BH[:, :, None], column_BW[:, None, :]]
    return cut_BHWC.permute(0, 3, 1, 2).contiguous()
