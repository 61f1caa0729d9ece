"""`genstudio train`: from a flag to a model that samples, and what it says about mistakes."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from genstudio.errors import Exit
from genstudio.training.recipe import read_recipe
from tests.support import Ran, genstudio
from tests.training import tiny

SMALL = ("--steps", "2", "--batch", "4", "--dtype", "fp32", "--device", "cpu")
VQ = ("network.width=32", "network.width_mult=[1,1,1,1]", "network.vocab=32", "network.code_width=8")
VAR = ("network.width=32", "network.heads=2", "network.depth=1", "network.vocab=32", "network.code_width=8")
SIZES = "network.sizes=[1,2,4]"


@pytest.fixture
def data(tmp_path: Path, home: Path) -> str:
    torch.set_num_threads(1)
    return f"fashion:{tiny.write_pictures(tmp_path / 'pictures')}"


def train(name: str, *words: object, settings: tuple[str, ...] = ()) -> Ran:
    flags = [word for setting in settings for word in ("--set", setting)]
    return genstudio("train", name, *SMALL, *words, *flags)


def tokenizer(data: str, folder: Path) -> Ran:
    settings = (*VQ, SIZES, "objective.perceptual=0.0")
    return train("msvq-fashion", "--data", data, "-o", folder, "--json", settings=settings)


def test_a_tokenizer_and_a_generator_trained_by_flags_make_pictures(data: str, tmp_path: Path) -> None:
    first = tokenizer(data, tmp_path / "vq")
    assert first.code == Exit.OK and first.err == ""
    summary = json.loads(first.out)
    assert summary["steps"] == 2 and summary["folder"] == str(tmp_path / "vq")
    assert {"loss", "l1", "vq", "perplexity"} <= summary["losses"].keys()
    assert set(summary["test"]) == {"test_l2", "test_psnr"}

    words = ("--data", data, "--tokenizer", tmp_path / "vq", "-o", tmp_path / "var")
    second = train("var-fashion", *words, settings=(*VAR, SIZES))
    assert second.code == Exit.OK
    assert second.out.startswith(f"{tmp_path / 'var'}: 2 steps in ") and "test_loss" in second.out
    made = genstudio("sample", tmp_path / "var", "-c", "3", "-o", tmp_path / "out", "--json")
    assert made.code == Exit.OK, made.err
    assert Path(json.loads(made.out)["pictures"][0]["file"]).is_file()


def test_the_same_command_goes_on_and_another_seed_is_refused(data: str, tmp_path: Path) -> None:
    words = ("--data", data, "-o", tmp_path / "run", "-q")
    settings = ("network.width=8", "network.features=16")
    first = train("fashion-features", *words, settings=settings)
    again = train("fashion-features", *words, settings=settings)
    assert first.code == again.code == Exit.OK and first.out == again.out
    other = train("fashion-features", *words, "--seed", "9", settings=settings)
    assert other.code == Exit.USAGE
    assert "run.seed (0 there, 9 now)" in other.err and len(other.err.splitlines()) == 2


def test_tensorboard_files_are_written_when_asked(data: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ("--data", data, "-o", tmp_path / "run", "-q", "--tensorboard")
    ran = train("fashion-features", *words, settings=("network.width=8", "network.features=16"))
    assert ran.code == Exit.OK, ran.err
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("var-fashon",), "no recipe 'var-fashon'", "Did you mean var-fashion?"),
        (("var-fashion", "--set", "run.sede=1"), "unknown key run.sede", "Did you mean run.seed?"),
        (("var-fashion", "--set", "seed"), "--set seed is no setting", "section.key=value"),
        (("var-fashion", "--dtype", "fp8"), "run.precision", "Correct run.precision"),
        (("var-fashion", "--tokenizer", "msvq-fashon"), "no model 'msvq-fashon'", "genstudio models"),
        (("var-fashion", "--init", "nothing"), "no model 'nothing'", "genstudio models"),
        (("var-fashion", "--data", "fashion:nowhere"), "nowhere", "idx files"),
        (("fashion-features", "--set", "network.classes=3"), "3 classes", "network.classes=10"),
    ],
)
def test_mistakes_are_two_lines(
    words: tuple[str, ...], message: str, hint: str, data: str, tmp_path: Path
) -> None:
    source = () if "--data" in words else ("--data", data)
    ran = genstudio("train", *words, *source, "-o", tmp_path / "run", "-q")
    assert ran.code == Exit.USAGE and ran.out == ""
    assert message in ran.err.splitlines()[0] and hint in ran.err.splitlines()[1]
    assert len(ran.err.splitlines()) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(data: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    ran = train("fashion-features", "--data", data, "-o", tmp_path / "run", "-q")
    tmp_path.chmod(0o700)
    assert ran.code == Exit.USAGE and "cannot be written" in ran.err


def test_a_file_in_place_of_the_folder(data: str, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    ran = train("fashion-features", "--data", data, "-o", tmp_path / "run", "-q")
    assert ran.code == Exit.USAGE and len(ran.err.splitlines()) == 2


def test_flags_reach_the_recipe_they_name() -> None:
    recipe = read_recipe("var-fashion", [("run.batch", 7), ("optimizer.lr", 0.5)])
    assert (recipe.run.batch, recipe.optimizer.lr) == (7, 0.5)


def test_a_folder_of_pictures_becomes_a_model_that_knows_its_classes(home: Path, tmp_path: Path) -> None:
    """From pictures in folders to a sampled picture of a class by its folder's name."""
    for name in ("apple", "pear"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(24):
            shade = (10 * number, 200, 0) if name == "pear" else (200, 10 * number, 0)
            Image.new("RGB", (20, 16), shade).save(tmp_path / "data" / name / f"{number}.png")
    small = ["--data", tmp_path / "data", "--steps", 2, "--batch", 4, "--set", "data.channels=3"]
    vq = ["--set", "network.channels=3", "--set", "objective.perceptual=0", "-o", tmp_path / "vq"]
    assert genstudio("train", "msvq-fashion", *small, *vq).code == 0
    ours = ["--set", "network.classes=2", "--tokenizer", tmp_path / "vq", "-o", tmp_path / "var"]
    assert genstudio("train", "var-fashion", *small, *ours).code == 0
    ran = genstudio("sample", tmp_path / "var", "-c", "pear", "-o", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    assert [entry["class"] for entry in ran.data["pictures"]] == ["pear"]
