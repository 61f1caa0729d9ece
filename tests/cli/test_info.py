"""`genstudio info`: pictures and weights say what they are; other files say that they do not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from genstudio.errors import Exit
from genstudio.media.png import save_png
from genstudio.releases import weights
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from tests.releases import tiny
from tests.support import genstudio

pytestmark = pytest.mark.usefixtures("home")


def test_a_picture_says_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    spec = {"model": "var-fashion", "pictures": [[8, 3]], "recipe": {"guidance": {"cfg": 1.5}}}
    save_png(path, torch.zeros(3, 8, 8, dtype=torch.uint8), spec)
    assert genstudio("info", path, "--json").data["picture"] == spec
    lines = genstudio("info", path).out.splitlines()
    assert "picture.recipe.guidance.cfg  1.5" in lines


def test_our_weights_say_release_storage_and_origin(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    origin = weights.Origin("var_tiny.pth", "ab" * 32)
    network = tiny.network(tiny.VQ)
    weights.write(path, network.state_dict(), tiny.release(tiny.VQ), "bfloat16", origin)
    data = genstudio("info", path, "--json").data
    assert data["release"]["name"] == "tiny"
    assert data["origin"]["sha256"] == "ab" * 32
    assert data["storage"] == "bfloat16"
    assert data["dtypes"] == {"BF16": len(network.state_dict())}
    assert data["numbers"] == sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_official_files_say_what_they_look_like(name: str, tmp_path: Path) -> None:
    config = replace(tiny.GENERATOR, depth=3)
    tensors = to_official(tiny.network(config).state_dict(), table_for(config))
    wrapped = {"trainer": {"var_wo_ddp": tensors}} if name.endswith("pth") else tensors
    (torch.save if name.endswith("pth") else save_file)(wrapped, tmp_path / name)
    data = genstudio("info", tmp_path / name, "--json").data
    assert data["looks_like"].startswith("a VAR transformer of depth 3, width 64, 10 classes")
    assert data["releases"] == []


def test_a_foreign_network_is_no_guess(tmp_path: Path) -> None:
    save_file({"layer.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    data = genstudio("info", tmp_path / "w.safetensors", "--json").data
    assert data["looks_like"] == "nothing that genstudio knows"
    assert data["numbers"] == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("page.html", b"<html></html>", "neither a torch file nor"),
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{", "truncated or damaged"),
        ("broken.png", b"\x89PNG\r\n\x1a\n", "no PNG that can be read"),
    ],
)
def test_other_files_are_named_in_two_lines(name, content, message, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    found = genstudio("info", tmp_path / name)
    assert found.code in (Exit.USAGE, Exit.WEIGHTS)
    assert message in found.err
    assert len(found.err.splitlines()) == 2


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.png", tmp_path):
        found = genstudio("info", path)
        assert found.code == Exit.USAGE
        assert "cannot be read" in found.err
