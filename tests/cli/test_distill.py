"""`genstudio distill`: a drafter from a teacher's name alone, what a dry run says, status, and mistakes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from genstudio.configs.drafter import DrafterConfig
from genstudio.errors import Exit
from genstudio.releases import catalogue
from genstudio.training.recipe import read_recipe
from tests.distillation import tiny
from tests.support import Ran, genstudio
from tests.training.tiny import weights_hash

SMALL = ("--data", "teacher:16", "--steps", "4", "--batch", "4", "--device", "cpu", "--set", "save.every=2")


@pytest.fixture(autouse=True)
def teacher(home: Path) -> Path:
    torch.set_num_threads(1)
    return tiny.write_teacher(home / "models")


def distil(*words: object) -> Ran:
    return genstudio("distill", "drafter", *words)


def everything(*roots: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


def test_a_teacher_is_enough_for_a_drafter_that_the_models_list(teacher: Path, tmp_path: Path) -> None:
    ran = distil("--teacher", tiny.TEACHER, *SMALL, "-o", tmp_path / "run", "--json")
    assert ran.code == Exit.OK and ran.err == ""
    assert ran.data["steps"] == 4 and "test_overlap" in ran.data["test"]
    release = catalogue.find(str(tmp_path / "run"))
    assert release.name == "tiny-teacher-drafter"
    config = release.config
    assert isinstance(config, DrafterConfig)
    assert (config.depth, config.width, config.hidden, config.vocab, config.side) == (1, 32, 48, 32, 4)
    out = genstudio("models", "show", tmp_path / "run").out
    assert next(line for line in out.splitlines() if line.startswith("teacher")).split()[1] == tiny.TEACHER
    refused = genstudio("sample", tmp_path / "run", "-c", "1")
    assert refused.code == Exit.USAGE and f"it drafts for {tiny.TEACHER}" in refused.err


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(home: Path, tmp_path: Path) -> None:
    before = everything(home, tmp_path)
    words = ("--teacher", tiny.TEACHER, *SMALL, "-o", tmp_path / "run", "--dry-run")
    ran = distil(*words)
    assert ran.code == Exit.OK, ran.err
    facts = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert {"time", "memory", "disk", "parameters"} <= facts.keys() and "4 steps" in facts["time"]
    data = distil(*words, "--json").data
    assert data["dry_run"] and data["steps"] == 4 and 0 < data["step_seconds"] < data["seconds"]
    assert everything(home, tmp_path) == before
    distil(*words[:-1], "-q")
    made = sum(len(text) for text in everything(tmp_path / "run").values())
    state = (tmp_path / "run" / "checkpoint.pt").stat().st_size
    assert 0.5 * (made + state) < data["disk"] < 2 * (made + state)
    parameters = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["modules"]["network"]
    assert data["parameters"] == sum(value.numel() for value in parameters.values())


def test_status_tells_how_far_a_run_is(tmp_path: Path) -> None:
    distil("--teacher", tiny.TEACHER, *SMALL, "-o", tmp_path / "run", "-q")
    out = genstudio("distill", "status", tmp_path / "run").out
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert facts["teacher"] == tiny.TEACHER and facts["step"] == "4 of 4" and facts["state"] == "finished"
    assert "test_overlap" in facts["says"]
    data = genstudio("distill", "status", tmp_path / "run", "--json").data
    assert data["finished"] and data["objective"] == "next_feature" and data["last"]["step"] == 4
    none = genstudio("distill", "status", tmp_path)
    assert none.code == Exit.USAGE and "holds no run" in none.err


def test_a_run_goes_on_by_its_folder_alone(tmp_path: Path) -> None:
    words = ("--teacher", tiny.TEACHER, *SMALL, "-q")
    distil(*words, "-o", tmp_path / "whole")
    distil(*words, "-o", tmp_path / "broken")
    for name in ("release.json", "model.safetensors"):
        (tmp_path / "broken" / name).unlink()
    assert not genstudio("distill", "status", tmp_path / "broken", "--json").data["finished"]
    again = distil("--resume", tmp_path / "broken", "-q")
    assert again.code == Exit.OK, again.err
    assert weights_hash(tmp_path / "whole") == weights_hash(tmp_path / "broken")
    both = distil("--resume", tmp_path / "broken", "--steps", "9")
    assert both.code == Exit.USAGE and "Give it alone" in both.err


def test_a_recipe_by_file_has_the_last_word_on_the_network(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[run]\nname = "mine"\nsteps = 1\nbatch = 4\n[data]\nsource = "teacher:8"\n'
        '[teacher]\nrelease = "tiny-teacher"\n[network]\ndepth = 2\nhidden = 16\n'
        '[objective]\nkind = "next_feature"\n[optimizer]\nlr = 1e-3\n'
    )
    ran = distil("--config", tmp_path / "mine.toml", "-o", tmp_path / "run", "-q")
    assert ran.code == Exit.OK, ran.err
    config = catalogue.find(str(tmp_path / "run")).config
    assert isinstance(config, DrafterConfig) and (config.depth, config.hidden, config.width) == (2, 16, 32)


def test_tensorboard_files_are_written_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ("--teacher", tiny.TEACHER, *SMALL, "-o", tmp_path / "run", "-q", "--tensorboard")
    assert distil(*words).code == Exit.OK
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def _other_vocabulary(teacher: Path) -> None:
    """As if somebody had edited a release by hand: its weights no longer fit."""
    path = teacher / "release.json"
    tables = json.loads(path.read_text())
    tables["config"]["vocab"] = 64
    path.write_text(json.dumps(tables))


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ((), "No teacher is named", "--teacher MODEL"),
        (("--teacher", "tiny-teach"), "no model 'tiny-teach'", "Did you mean tiny-teacher"),
        (("--teacher", "var-d16"), "var-d16 is a var, which does not make one code after", "raster"),
        (("--teacher", "llamagen-vq-ds16"), "makes no pictures", "Choose a generator"),
        (("--teacher", "llamagen-drafter"), "it drafts for llamagen-t2i-xl-256", "--accel lantern"),
        (("--teacher", "tiny-teacher", "--features", "f"), "made from classes, not from text", "Leave"),
        (("--teacher", "tiny-teacher", "--set", "network.vocab=64"), "has vocab 64", "Set network.vocab"),
        (("--teacher", "tiny-teacher", "--data", "teacher:x"), "does not say how many", "teacher:N"),
        (("--teacher", "tiny-teacher", "--set", "objective.nois=1"), "unknown key objective.nois", "noise"),
        (
            ("--teacher", "tiny-teacher", "--config", "var-fashion"),
            "is no recipe of a drafter",
            "next_feature",
        ),
    ],
)
def test_mistakes_are_two_lines(words: tuple[str, ...], message: str, hint: str, tmp_path: Path) -> None:
    ran = distil(*words, "-o", tmp_path / "run", "-q")
    assert ran.code == Exit.USAGE and ran.out == ""
    assert message in ran.err.splitlines()[0] and hint in ran.err.splitlines()[1]
    assert len(ran.err.splitlines()) == 2 and not (tmp_path / "run").exists()


def test_weights_of_another_vocabulary_are_refused(teacher: Path, tmp_path: Path) -> None:
    _other_vocabulary(teacher)
    ran = distil("--teacher", tiny.TEACHER, *SMALL, "-o", tmp_path / "run", "--json")
    assert ran.code == Exit.WEIGHTS and "do not fit its architecture" in ran.data["error"]["message"]


def test_a_broken_shard_of_lessons_is_named(home: Path, tmp_path: Path) -> None:
    words = ("--teacher", tiny.TEACHER, *SMALL, "-q")
    distil(*words, "-o", tmp_path / "run")
    for shard in (home / "codes").rglob("*.safetensors"):
        shard.write_bytes(shard.read_bytes()[:-3])
    ran = distil(*words, "-o", tmp_path / "again")
    assert ran.code == Exit.WEIGHTS and "is damaged" in ran.err and "Remove it" in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    ran = distil("--teacher", tiny.TEACHER, *SMALL, "-o", tmp_path / "run", "-q")
    tmp_path.chmod(0o700)
    assert ran.code == Exit.USAGE and "cannot be written" in ran.err


def test_the_bundled_recipe_fits_its_teacher() -> None:
    """The numbers that a drafter shares with llamagen-fashion, as its own recipe has them."""
    drafter: Any = read_recipe("llamagen-fashion-drafter").network
    teacher: Any = read_recipe("llamagen-fashion").network
    for name in ("width", "vocab", "side", "condition_slots"):
        assert getattr(drafter, name) == getattr(teacher, name)
