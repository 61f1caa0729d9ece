"""Two processes distil as one does: the same lessons, losses and weights up to rounding."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genstudio.errors import Exit
from genstudio.releases import catalogue
from tests.distillation import tiny
from tests.support import genstudio, torchrun


def test_two_processes_distil_as_one(home: Path, tmp_path: Path) -> None:
    tiny.write_teacher(home / "models")
    words = ["distill", "drafter", "--teacher", tiny.TEACHER, "--data", "teacher:1500", "--device", "cpu"]
    words += ["--steps", "6", "--batch", "8", "--json"]
    ran = torchrun("-m", "genstudio", *words, "-o", tmp_path / "two", home=home)
    assert ran.returncode == Exit.OK, ran.stderr
    two = json.loads(ran.stdout)
    made = {path: path.read_bytes() for path in (home / "codes").rglob("*.safetensors")}
    for path in made:
        path.unlink()
    one = genstudio(*words, "-o", tmp_path / "one").data
    assert {path: path.read_bytes() for path in (home / "codes").rglob("*.safetensors")} == made
    assert two["test"] == pytest.approx(one["test"], rel=1e-4)
    distilled = [catalogue.find(str(tmp_path / name)).distilled for name in ("one", "two")]
    assert distilled[0] == distilled[1] and distilled[0] is not None
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    apart = torch.cat([(first[name] - value).abs().flatten() for name, value in second.items()])
    assert (apart < 1e-5).float().mean() > 0.95
