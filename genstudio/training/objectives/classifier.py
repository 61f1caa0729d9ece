"""Training the small classifiers whose features score pictures: cross-entropy with keyed shifts and flips.

A network that is asked for attributes beside the class has one more cross-entropy for each, all of weight 1.
Shapes: B pictures, C channels, H x W pixels, V values of a head, Q attributes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.data.attributes import UNANSWERED
from genstudio.data.pictures import Attributed, Pictures, batches
from genstudio.evaluation.classifier import Classifier, Scores, per_attribute
from genstudio.samplers.draws import Use
from genstudio.training.objectives import settings as kinds
from genstudio.training.objectives.base import Batch, Losses, Objective, mirrored, to_unit

EVALUATED = 256
ROWS, COLUMNS = 0, 1


class ClassifierObjective(Objective):
    """Cross-entropy of labels and of attributes; `test` is for evaluation alone."""

    undecayed = ()

    def __init__(
        self,
        network: Classifier,
        settings: kinds.Classification,
        train: Pictures,
        test: Pictures,
        flip: bool,
        device: torch.device,
    ) -> None:
        self.network, self.settings, self.flip, self.device = network, settings, flip, device
        self.attributes = network.config.attributes
        self.train, self.test = train, test
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads = {"data": train.fingerprint}

    def losses(self, batch: Batch) -> Losses:
        x_BCHW = self._varied(to_unit(self.train.pixels(batch.index_B), self.device), batch)
        scores, smoothing = self.network(x_BCHW), self.settings.smoothing
        label_B = self.train.labels(batch.index_B).to(self.device)
        logits_BV = scores.logits.float()
        total = F.cross_entropy(logits_BV, label_B, label_smoothing=smoothing)
        accuracy = (logits_BV.detach().argmax(-1) == label_B).float().mean()
        counts = {}
        for name, (logits_BV, answer_B) in self._asked(scores, self.train, batch.index_B).items():
            total = total + answered_loss(logits_BV, answer_B, smoothing, self._expected(name, batch))
            counts[name] = tally(logits_BV.detach(), answer_B)
        return Losses(total, {"loss": total, "accuracy": accuracy}, counts)

    def derive(self, counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name + ending: right.double() / given
            for name, tally_22 in counts.items()
            for ending, (right, given) in zip(("", "_stated"), tally_22, strict=True)
            if given > 0
        }

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Share of the test pictures whose label is the most likely one; the same of every attribute, over
        all answers, and over those that captions state (any but the first value)."""
        right = 0
        counts: dict[str, Tensor] = {}
        for index_n in batches(self.test, EVALUATED):
            scores = network(to_unit(self.test.pixels(index_n), self.device))
            right += int((scores.logits.argmax(-1).cpu() == self.test.labels(index_n)).sum())
            for name, asked in self._asked(scores, self.test, index_n).items():
                counts[name] = counts.get(name, 0) + tally(*asked)
        shares = {f"test_{name}": float(share) for name, share in self.derive(counts).items()}
        return {"test_accuracy": right / len(self.test), **shares}

    def _asked(self, scores: Scores, pictures: Pictures, index_B: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Logits [B,V] and answers [B] of every attribute."""
        if scores.attributes_BA is None:
            return {}
        assert isinstance(pictures, Attributed)
        answer_BQ = pictures.answers(index_B).to(self.device)
        parts = per_attribute(scores.attributes_BA.float(), self.attributes)
        return {
            name: (logits_BV, answer_BQ[:, column]) for column, (name, logits_BV) in enumerate(parts.items())
        }

    def _expected(self, name: str, batch: Batch) -> float:
        """Answered pictures in a pass if the step's were spread evenly, so that parts of a step average to
        the mean over all its answers; at least one of the whole step."""
        assert isinstance(self.train, Attributed)
        column = [attribute.name for attribute in self.attributes].index(name)
        answered = int((self.train.answers(batch.whole_S)[:, column] != UNANSWERED).sum())
        return max(1, answered) * len(batch.index_B) / len(batch.whole_S)

    def _varied(self, x_BCHW: Tensor, batch: Batch) -> Tensor:
        if self.flip:
            x_BCHW = mirrored(x_BCHW, batch.coin(Use.FLIP, 0.5))
        if (most := self.settings.shift) == 0:
            return x_BCHW
        down_B = batch.below(Use.FLIP, ROWS, 2 * most + 1)
        right_B = batch.below(Use.FLIP, COLUMNS, 2 * most + 1)
        return shifted(x_BCHW, down_B, right_B, most)


def answered_loss(logits_BV: Tensor, answer_B: Tensor, smoothing: float, expected: float) -> Tensor:
    """Sum of the cross-entropies of answered pictures over how many are `expected` to be."""
    sum_ = F.cross_entropy(
        logits_BV, answer_B, ignore_index=UNANSWERED, label_smoothing=smoothing, reduction="sum"
    )
    return sum_ / expected


def tally(logits_BV: Tensor, answer_B: Tensor) -> Tensor:
    """(right, given) of all answers and of the stated ones, int64 [2,2]; the first value states nothing."""
    given_2B = torch.stack([answer_B != UNANSWERED, answer_B > 0])
    right_2B = given_2B & (logits_BV.argmax(-1) == answer_B)
    return torch.stack([right_2B.sum(1), given_2B.sum(1)], dim=1)


def shifted(x_BCHW: Tensor, down_B: Tensor, right_B: Tensor, most: int) -> Tensor:
    """Pictures cut out of themselves, widened by `most` pixels of their edge, at an offset in [0, 2 most]."""
    height, width = x_BCHW.shape[2:]
    wide_BCHW = F.pad(x_BCHW, (most,) * 4, mode="replicate")
    row_BH = down_B[:, None] + torch.arange(height, device=x_BCHW.device)
    column_BW = right_B[:, None] + torch.arange(width, device=x_BCHW.device)
    at_B = torch.arange(len(x_BCHW), device=x_BCHW.device)[:, None, None]
    cut_BHWC = wide_BCHW.permute(0, 2, 3, 1)[at_B, row_BH[:, :, None], column_BW[:, None, :]]
    return cut_BHWC.permute(0, 3, 1, 2).contiguous()
