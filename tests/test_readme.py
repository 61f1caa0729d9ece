"""The README and the documents cannot rot: every command in them runs here, in order.

The README's commands run on the bundled checkpoints, those about training on a folder of tiny pictures.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from genstudio.releases import catalogue
from tests import documents
from tests.distillation.tiny import write_teacher
from tests.documents import DOCS, Words
from tests.training import tiny

README = DOCS / "README.md"
TRAINING = DOCS / "docs" / "training.md"
DISTILLATION = DOCS / "docs" / "distillation.md"
EDITING = DOCS / "docs" / "editing.md"
READS_DATA = ("train", "reconstruct")


@pytest.fixture(autouse=True)
def alone(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One empty folder, and no hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_commands_of_the_readme_run_in_order(tmp_path: Path) -> None:
    data = tiny.write_pictures(tmp_path / "data")
    assert len(documents.commands(README)) > 8

    def on_tiny_pictures(words: Words) -> Words:
        return [*words, "--data", f"fashion:{data}"] if words[0] in READS_DATA else words

    documents.run(README, on_tiny_pictures)


def test_python_example_runs(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)
    assert list(tmp_path.glob("*.png"))


def test_commands_about_training_run_in_order(tmp_path: Path) -> None:
    """From a user's folder to a sampled picture of a class by its folder's name, and on to a third class."""
    torch.manual_seed(0)
    _draw_folder(tmp_path / "pictures", ("oak", "fern"))
    _draw_folder(tmp_path / "more", ("oak", "fern", "moss"))
    documents.write_files(TRAINING, tmp_path)
    documents.run(TRAINING)
    made = {path.name for path in (tmp_path / "out" / "my-pictures").glob("0*.png")}
    fern, moss, oak = "000-000004.png", "001-000000-2.png", "001-000000.png"
    assert {fern, moss, oak} <= made


def test_commands_about_distillation_run_in_order(home: Path, tmp_path: Path) -> None:
    """On a teacher of random weights under the name of the one that is written about."""
    torch.manual_seed(0)
    write_teacher(home / "models", name="llamagen-fashion")
    documents.write_files(DISTILLATION, tmp_path)
    documents.run(DISTILLATION)
    for name in ("drafter", "deep", "both", "my-drafter"):
        assert catalogue.find(f"runs/{name}").method == "drafter"


def test_commands_about_editing_run_in_order(tmp_path: Path) -> None:
    Image.new("L", (60, 40), "grey").save(tmp_path / "shirt.png")
    Image.new("L", (60, 40), "white").save(tmp_path / "mask.png")
    documents.run(EDITING)
    assert {path.suffix for path in (tmp_path / "out" / "var-fashion").iterdir()} == {".png", ".gif"}


def _draw_folder(folder: Path, classes: tuple[str, ...]) -> None:
    """Blots of a colour of their class, of many sizes."""
    for split, count in (("train", 10), ("test", 4)):
        for number, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(0, 120, (30 + index, 40, 3), dtype=torch.uint8)
                pixels[5:20, 5 + index : 25 + index, number] = 250
                Image.fromarray(pixels.numpy()).save(folder / split / name / f"{index:03d}.jpg")
