"""The classifier's objective: keyed shifts, attributes, accuracy."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio import registry
from genstudio.configs.features import Attribute
from genstudio.data.attributes import UNANSWERED
from genstudio.data.pictures import Indices
from genstudio.data.sources import open_pictures
from genstudio.errors import GenstudioError
from genstudio.evaluation.classifier import Classifier, Scores
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.training import prepare as preparing
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.classifier import ClassifierObjective, answered_loss, shifted, tally
from genstudio.training.prepare import prepare
from tests.training import tiny

CPU = torch.device("cpu")
TONE = Attribute(name="tone", values=("none", "light", "dark"))
HAT = Attribute(name="hat", values=("none", "red"))


class Toned:
    """Pictures of another source, whose tone is light, dark and unknown in turn."""

    attributes = (TONE,)

    def __init__(self, folder: Path) -> None:
        self._source = open_pictures(f"fashion:{folder}", "train", 32, 1)
        self.classes, self.fingerprint = self._source.classes, self._source.fingerprint

    def __len__(self) -> int:
        return len(self._source)

    def pixels(self, indices: Indices) -> Tensor:
        return self._source.pixels(indices)

    def labels(self, indices: Indices) -> Tensor:
        return self._source.labels(indices)

    def answers(self, indices: Indices) -> Tensor:
        return torch.tensor([1, 2, UNANSWERED])[torch.as_tensor(indices) % 3][:, None]


class Constant(nn.Module):
    """Says class 4, and the second value of every attribute."""

    def __init__(self, values: int = 0) -> None:
        super().__init__()
        self.values = values

    def forward(self, x_BCHW: Tensor) -> Scores:
        logits_BK = F.one_hot(torch.full((len(x_BCHW),), 4), 10).float()
        second_BA = torch.arange(self.values).eq(1).float().expand(len(x_BCHW), -1)
        return Scores(logits_BK, logits_BK, second_BA if self.values else None)


def toned(pictures: Path) -> ClassifierObjective:
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures, network__attributes=[asdict(TONE)], objective__shift=0)
    network = registry.build(recipe.network, "cpu")
    assert isinstance(network, Classifier)
    train = Toned(pictures)
    return ClassifierObjective(network, recipe.objective, train, train, False, CPU)


def batch(*index: int) -> Batch:
    index_B = torch.tensor(index)
    place_B2 = torch.stack([torch.zeros_like(index_B), index_B], dim=1)
    return Batch(0, 0.0, index_B, At(torch.zeros_like(index_B), place_B2), KeyedDraws(), index_B)


def test_a_shift_moves_the_picture_and_repeats_its_edge() -> None:
    x_BCHW = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    moved = shifted(x_BCHW, torch.tensor([1, 0]), torch.tensor([1, 2]), most=1)
    assert torch.equal(moved[0], x_BCHW[0])
    wide = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
    assert torch.equal(moved[1], wide[1, :, 0:4, 2:7])


def test_shifts_of_a_batch_cover_their_range_and_differ_by_axis() -> None:
    many = batch(*range(500))
    rows, columns = many.below(Use.FLIP, 0, 5), many.below(Use.FLIP, 1, 5)
    assert set(rows.tolist()) == set(columns.tolist()) == set(range(5))
    assert not torch.equal(rows, columns)


def test_accuracy_counts_test_pictures(pictures: Path) -> None:
    made = prepare(tiny.recipe(tiny.CLASSIFIER, pictures), CPU, lambda _: None).objective
    assert made.evaluate(Constant()) == {"test_accuracy": 0.1}


def test_an_attribute_adds_its_cross_entropy_over_the_answered(pictures: Path) -> None:
    made = toned(pictures)
    scores = made.network(made.train.pixels([0, 1, 2]).float() / 127.5 - 1)
    classes = F.cross_entropy(scores.logits, made.train.labels([0, 1, 2]))
    tones = F.cross_entropy(scores.attributes_BA[:2], torch.tensor([1, 2]))
    torch.testing.assert_close(made.losses(batch(0, 1, 2)).total, classes + tones)
    unknown = F.cross_entropy(
        made.network(made.train.pixels([2]).float() / 127.5 - 1).logits, torch.tensor([2])
    )
    torch.testing.assert_close(made.losses(batch(2)).total, unknown)


def test_parts_of_a_step_average_to_the_whole_whoever_answers_where(pictures: Path) -> None:
    made, whole = toned(pictures), batch(0, 1, 3, 4, 2, 5, 8, 6)
    parts = [batch(0, 1, 3, 4), batch(2, 5, 8, 6)]  # answered: all of them, one of them
    losses = [made.losses(part._replace(whole_S=whole.index_B)).total for part in parts]
    torch.testing.assert_close(torch.stack(losses).mean(), made.losses(whole).total)
    alone = torch.stack([made.losses(part).total for part in parts]).mean()
    assert (alone - made.losses(whole).total).abs() > 1e-3


def test_nothing_answered_is_no_loss_and_no_gradient() -> None:
    logits_BV = torch.randn(2, 3, requires_grad=True)
    loss = answered_loss(logits_BV, torch.full((2,), UNANSWERED), smoothing=0.1, expected=1)
    loss.backward()
    assert loss.item() == 0.0 and logits_BV.grad is not None and logits_BV.grad.abs().sum() == 0


def test_accuracy_of_an_attribute_leaves_the_unanswered_out(pictures: Path) -> None:
    found = toned(pictures).evaluate(Constant(values=3))  # always light: right for half of the answered
    assert found == {"test_accuracy": pytest.approx(2 / 24), "test_tone": 0.5, "test_tone_stated": 0.5}


def test_what_captions_state_is_counted_apart() -> None:
    logits_BV = F.one_hot(torch.tensor([0, 0, 1, 2]), 3).float()
    assert tally(logits_BV, torch.tensor([0, 1, 1, UNANSWERED])).tolist() == [[2, 3], [1, 2]]


def test_counts_of_many_batches_become_one_accuracy(pictures: Path) -> None:
    made = toned(pictures)
    summed = tally(torch.eye(3)[:1], torch.tensor([0])) + tally(torch.eye(3), torch.tensor([1, 1, 1]))
    assert made.derive({"tone": summed}) == {"tone": 0.5, "tone_stated": pytest.approx(1 / 3)}
    assert made.derive({"tone": torch.zeros(2, 2)}) == {}


@pytest.mark.parametrize("asked", [(HAT,), (HAT, TONE)])
def test_a_source_that_cannot_answer_is_refused(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[Attribute, ...]
) -> None:
    monkeypatch.setattr(preparing, "open_pictures", lambda *_: Toned(pictures))
    wrong, right = ([asdict(one) for one in attributes] for attributes in (asked, (TONE,)))
    with pytest.raises(GenstudioError, match="does not answer") as caught:
        prepare(tiny.recipe(tiny.CLASSIFIER, pictures, network__attributes=wrong), CPU, lambda _: None)
    assert "tone" in caught.value.hint
    prepare(tiny.recipe(tiny.CLASSIFIER, pictures, network__attributes=right), CPU, lambda _: None)
