"""Whole runs in one process: they learn, stop and go on, split batches, refuse what is broken."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genstudio.errors import Exit, GenstudioError
from genstudio.releases import catalogue, weights
from genstudio.training import learner as learners
from genstudio.training.loop import Status
from genstudio.training.objectives.tokenizer import TokenizerObjective
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.run import Summary, train
from tests.training import tiny
from tests.training.tiny import lines, weights_hash

CPU = torch.device("cpu")


def go(recipe: TrainingRecipe, folder: Path, **watch: Any) -> Summary:
    return train(recipe, folder, CPU, **watch)


def press_at(step: int) -> Any:
    """A watcher that presses Ctrl-C after that step."""

    def report(status: Status) -> None:
        if status.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def trained_tokenizer(pictures: Path, home: Path) -> None:
    go(tiny.recipe(tiny.VQ, pictures, run__steps=2), home / "models" / "tiny-vq")


def test_each_kind_of_run_ends_as_a_model_that_the_catalogue_reads(pictures: Path, home: Path) -> None:
    trained_tokenizer(pictures, home)
    for name, tables in (("tiny-var", tiny.VAR), ("tiny-features", tiny.CLASSIFIER)):
        summary = go(tiny.recipe(tables, pictures), home / "models" / name)
        release = catalogue.find(name)
        assert release.name == name and weights.load(release).training is False
        assert summary.steps == 8 and [record["step"] for record in lines(Path(summary.folder))] == [
            3,
            6,
            8,
            8,
        ]
        assert lines(Path(summary.folder))[-1] == {"step": 8, **summary.test}


def test_a_run_learns(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures, run__steps=60, run__batch=12, objective__shift=0)
    assert go(recipe, tmp_path / "run").losses["loss"] < 0.5 * lines(tmp_path / "run")[0]["loss"]


@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_an_interrupted_run_goes_on_bit_for_bit(
    kind: str, pictures: Path, home: Path, tmp_path: Path
) -> None:
    tables = tiny.VQ if kind == "tokenizer" else tiny.VAR
    if kind == "generator":
        trained_tokenizer(pictures, home)
    recipe = tiny.recipe(tables, pictures)
    go(recipe, tmp_path / "whole")
    with pytest.raises(GenstudioError, match="Interrupted at step 5 of 8") as caught:
        go(recipe, tmp_path / "broken", report=press_at(5))
    assert caught.value.code == Exit.INTERRUPTED
    go(recipe, tmp_path / "broken")
    assert weights_hash(tmp_path / "whole") == weights_hash(tmp_path / "broken")
    assert lines(tmp_path / "whole") == lines(tmp_path / "broken")


def test_a_finished_run_is_finished(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures)
    go(recipe, tmp_path)
    before, model = lines(tmp_path), weights_hash(tmp_path)
    go(recipe, tmp_path, report=lambda status: pytest.fail("trained again"))
    assert lines(tmp_path) == before and weights_hash(tmp_path) == model


def test_another_recipe_or_other_pictures_in_the_same_folder_are_refused(
    pictures: Path, tmp_path: Path
) -> None:
    go(tiny.recipe(tiny.CLASSIFIER, pictures), tmp_path / "run")
    with pytest.raises(GenstudioError, match=r"differ: optimizer\.lr \(0\.003 there, 0\.1 now\)\."):
        go(tiny.recipe(tiny.CLASSIFIER, pictures, optimizer__lr=0.1), tmp_path / "run")
    more = tiny.write_pictures(tmp_path / "more", train=30)
    with pytest.raises(GenstudioError, match=r"differ: data \("):
        go(tiny.recipe(tiny.CLASSIFIER, more), tmp_path / "run")
    moved = pictures.rename(tmp_path / "moved")
    go(tiny.recipe(tiny.CLASSIFIER, moved, save__every=1, release__title="Renamed"), tmp_path / "run")


def test_a_damaged_checkpoint_is_named(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(tiny.CLASSIFIER, pictures)
    go(recipe, tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(GenstudioError, match="damaged") as caught:
        go(recipe, tmp_path)
    assert caught.value.code == Exit.WEIGHTS


def test_no_global_generator_is_read_or_moved(pictures: Path, tmp_path: Path) -> None:
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        go(tiny.recipe(tiny.VQ, pictures, run__steps=3), tmp_path / str(seed))
        models.append(weights_hash(tmp_path / str(seed)))
    assert models[0] == models[1]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TokenizerObjective.losses

    def broken(self: TokenizerObjective, batch: Any) -> Any:
        found = real(self, batch)
        return found._replace(total=found.total * float("nan")) if batch.step == 5 else found

    recipe = tiny.recipe(tiny.VQ, pictures)
    go(recipe, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(TokenizerObjective, "losses", broken)
        with pytest.raises(GenstudioError, match="not a number any more at step 6") as caught:
            go(recipe, tmp_path / "run")
    assert caught.value.code == Exit.CHECK
    go(recipe, tmp_path / "run")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_autocast_reaches_the_losses_and_weights_stay_float32(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[torch.dtype] = []
    monkeypatch.setattr(
        learners, "rewrite", lambda change, network, *_: kinds.extend(p.dtype for p in network.parameters())
    )
    seen: list[torch.dtype] = []
    real = nn.Conv2d.forward

    def forward(self: nn.Conv2d, x_BCHW: Tensor) -> Tensor:
        y_BCHW = real(self, x_BCHW)
        if self.training:
            seen.append(y_BCHW.dtype)
        return y_BCHW

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    go(tiny.recipe(tiny.VQ, pictures, run__steps=2, run__precision="bf16"), tmp_path)
    assert torch.bfloat16 in seen
    assert torch.float32 in seen  # phi inside the quantiser
    assert set(kinds) == {torch.float32}


def test_grids_are_drawn_and_change_nothing(pictures: Path, tmp_path: Path) -> None:
    go(tiny.recipe(tiny.VQ, pictures), tmp_path / "plain")
    go(tiny.recipe(tiny.VQ, pictures, sample__every=4), tmp_path / "drawn")
    assert sorted(path.name for path in (tmp_path / "drawn" / "samples").iterdir()) == [
        "step-0000004.png",
        "step-0000008.png",
    ]
    assert weights_hash(tmp_path / "plain") == weights_hash(tmp_path / "drawn")


def test_fine_tuning_starts_from_the_model_and_learns_other_classes_anew(
    pictures: Path, home: Path, tmp_path: Path
) -> None:
    trained_tokenizer(pictures, home)
    go(tiny.recipe(tiny.VAR, pictures), home / "models" / "tiny-var")
    said: list[str] = []
    recipe = tiny.recipe(tiny.VAR, pictures, run__init="tiny-var", run__steps=1, optimizer__lr=1e-12)
    go(recipe, tmp_path / "tuned", say=said.append)
    start = weights.load(catalogue.find("tiny-var")).state_dict()
    tuned = weights.load(catalogue.find(str(tmp_path / "tuned"))).state_dict()
    assert all(torch.allclose(start[name], tuned[name], atol=1e-6) for name in start)
    assert said[-2] == "starting from tiny-var"
    with pytest.raises(GenstudioError, match="depth differ"):
        go(tiny.recipe(tiny.VAR, pictures, run__init="tiny-var", network__depth=2), tmp_path / "deep")


@pytest.mark.parametrize(
    ("tables", "changes", "says"),
    [
        (tiny.CLASSIFIER, {"network__classes": 7}, "7 classes"),
        (tiny.CLASSIFIER, {"network__pixels": 64}, "pixels 32, its network has 64"),
        (tiny.VAR, {"network__vocab": 64}, "vocab 64"),
        (tiny.VAR, {"tokenizer__release": "tiny-v"}, "no model 'tiny-v'"),
        (tiny.VQ, {"objective__kind": "classification", "objective__l1": 0.0}, "unknown key"),
    ],
)
def test_numbers_that_do_not_agree_are_named(
    tables: dict[str, Any], changes: dict[str, Any], says: str, pictures: Path, home: Path, tmp_path: Path
) -> None:
    trained_tokenizer(pictures, home)
    with pytest.raises(GenstudioError, match=says):
        go(tiny.recipe(tables, pictures, **changes), tmp_path / "run")
