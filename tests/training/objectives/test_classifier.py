"""The classifier's objective: keyed shifts, label smoothing, accuracy."""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.classifier import shifted
from genstudio.training.prepare import prepare
from tests.training import tiny


def test_a_shift_moves_the_picture_and_repeats_its_edge() -> None:
    x_BCHW = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    moved = shifted(x_BCHW, torch.tensor([1, 0]), torch.tensor([1, 2]), most=1)
    assert torch.equal(moved[0], x_BCHW[0])
    wide = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
    assert torch.equal(moved[1], wide[1, :, 0:4, 2:7])


def test_shifts_of_a_batch_cover_their_range_and_differ_by_axis() -> None:
    index_B = torch.arange(500)
    place_B2 = torch.stack([torch.zeros_like(index_B), index_B], dim=1)
    batch = Batch(0, 0.0, index_B, At(torch.zeros_like(index_B), place_B2), KeyedDraws())
    rows, columns = batch.below(Use.FLIP, 0, 5), batch.below(Use.FLIP, 1, 5)
    assert set(rows.tolist()) == set(columns.tolist()) == set(range(5))
    assert not torch.equal(rows, columns)


def test_accuracy_counts_test_pictures(pictures: Path) -> None:
    class Scores(NamedTuple):
        logits: Tensor

    class Constant(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Scores:
            return Scores(F.one_hot(torch.full((len(x_BCHW),), 4), 10).float())

    made = prepare(tiny.recipe(tiny.CLASSIFIER, pictures), torch.device("cpu"), lambda _: None).objective
    assert made.evaluate(Constant()) == {"test_accuracy": 0.1}
