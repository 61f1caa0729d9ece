"""Where a run stands, as its folder tells, and runs that memory is not enough for."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from genstudio.errors import Exit, GenstudioError
from genstudio.training.objectives.base import Batch, Losses
from genstudio.training.objectives.classifier import ClassifierObjective
from genstudio.training.run import train
from genstudio.training.standing import recipe_of, standing
from tests.training import tiny
from tests.training.test_loop import press_at

CPU = torch.device("cpu")


@pytest.mark.parametrize("tables", [tiny.VQ, tiny.CLASSIFIER], ids=["tokenizer", "classifier"])
def test_a_folder_keeps_the_recipe_it_was_started_with(tables, pictures: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(tables, pictures, run__steps=1)
    train(recipe, tmp_path, CPU)
    assert recipe_of(tmp_path) == recipe


def test_a_run_stands_where_its_metrics_say(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures, log__every=1)
    with pytest.raises(GenstudioError):
        train(recipe, tmp_path, CPU, report=press_at(3))
    stands = standing(tmp_path)
    assert (stands.step, stands.finished, stands.test) == (3, False, {})
    speed = stands.record["images_per_s"]
    assert stands.left == pytest.approx((8 - 3) * 4 / speed)
    before = time.time() - 60
    os.utime(tmp_path / "metrics.jsonl", (before, before))
    assert 59 < standing(tmp_path).silent < 70
    train(recipe, tmp_path, CPU)
    stands = standing(tmp_path)
    assert (stands.step, stands.finished, stands.left) == (8, True, 0)
    assert stands.test.keys() == {"test_accuracy"}


def test_a_line_that_is_being_written_is_left_out(pictures: Path, tmp_path: Path) -> None:
    train(tiny.recipe(tiny.CLASSIFIER, pictures), tmp_path, CPU)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    assert standing(tmp_path).step == 8


def test_folders_without_a_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match=r"holds no run: there is no recipe\.json"):
        standing(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(GenstudioError, match="damaged") as caught:
        standing(tmp_path)
    assert caught.value.code == Exit.WEIGHTS


def _small(monkeypatch: pytest.MonkeyPatch, room: int, spared: Sequence[int] = ()) -> None:
    """A device that has no memory for more than `room` pictures in a pass, but at the `spared` steps."""
    real = ClassifierObjective.losses

    def losses(self: ClassifierObjective, batch: Batch) -> Losses:
        found = real(self, batch)
        if len(batch.index_B) > room and batch.step not in spared:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    monkeypatch.setattr(ClassifierObjective, "losses", losses)


def test_out_of_memory_halves_the_passes_and_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers as in whole steps, up to rounding; from the first step on or in the middle."""
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures, run__batch=12, log__every=1)
    train(tiny.recipe(tiny.CLASSIFIER, pictures, run__batch=12, run__accumulate=4), tmp_path / "four", CPU)
    said: list[str] = []
    with monkeypatch.context() as patched:
        _small(patched, 3)
        train(recipe, tmp_path / "small", CPU, say=said.append)
    assert said[1:] == [
        "Out of memory with 12 pictures in one pass: going on with 6.",
        "Out of memory with 6 pictures in one pass: going on with 3.",
    ]
    assert tiny.weights_hash(tmp_path / "small") == tiny.weights_hash(tmp_path / "four")


def test_a_run_goes_on_in_the_passes_that_fitted(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures, run__batch=12)
    _small(monkeypatch, 6, spared=range(3))
    train(recipe, tmp_path / "whole", CPU)
    with pytest.raises(GenstudioError, match="Interrupted"):
        train(recipe, tmp_path / "broken", CPU, report=press_at(5))
    said: list[str] = []
    train(recipe, tmp_path / "broken", CPU, say=said.append)
    assert len(said) == 1
    assert tiny.weights_hash(tmp_path / "whole") == tiny.weights_hash(tmp_path / "broken")


def test_where_not_even_one_picture_fits_the_run_says_so(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small(monkeypatch, 0)
    with pytest.raises(GenstudioError, match="out of memory with 1 pictures in one pass") as caught:
        train(tiny.recipe(tiny.CLASSIFIER, pictures), tmp_path, CPU)
    assert caught.value.code == Exit.MEMORY


def test_other_errors_are_no_lack_of_memory(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ClassifierObjective, batch: Batch) -> Losses:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(ClassifierObjective, "losses", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(tiny.recipe(tiny.CLASSIFIER, pictures), tmp_path, CPU)
