"""`genstudio models`: the list, one model, importing and verifying, and what bad input says."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from genstudio.errors import Exit
from genstudio.files import write_text
from genstudio.releases import catalogue
from genstudio.releases.release import File, Release, to_json
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from tests.releases import pair, tiny
from tests.support import genstudio

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Release:
    """A tiny release in the catalogue, as if its authors had published it."""
    file = File(hub="someone/var", name="var_tiny.pth", size=1_000_000)
    release = replace(tiny.release(tiny.GENERATOR, "var-tiny"), file=file)
    monkeypatch.setitem(catalogue.OFFICIAL, release.name, release)
    return release


def _official_tensors() -> dict[str, torch.Tensor]:
    return to_official(tiny.network(tiny.GENERATOR).state_dict(), table_for(tiny.GENERATOR))


def test_the_list_names_every_official_release_with_size_score_and_place() -> None:
    found = genstudio("models")
    assert found.code == Exit.OK
    line = next(line for line in found.out.splitlines() if line.startswith("var-d30 "))
    assert line.split("  ")[0] == "var-d30"
    assert "8.0 GB" in line
    assert "FID-50k 1.97" in line
    data = genstudio("models", "--json").data["models"]
    assert {"var-d16", "var-d36-512", "var-vqvae"} <= {one["name"] for one in data}
    assert next(one for one in data if one["name"] == "var-d16")["place"] == "missing"


def test_a_folder_in_the_cache_is_listed_as_here(tiny_var: str) -> None:
    data = genstudio("models", "--json").data["models"]
    mine = next(one for one in data if one["name"] == tiny_var)
    assert mine["place"] == "folder"
    assert mine["bytes"] == Path(mine["path"]).stat().st_size


def test_show_prints_recipe_protocol_and_source() -> None:
    out = genstudio("models", "show", "var-d16").out
    for part in (
        "cfg 1.5",
        "50,000 samples, balanced labels",
        "var_d16.pth from FoundationVision/var",
        "depth 16",
    ):
        assert part in out
    assert "not stated" in next(line for line in out.splitlines() if line.startswith("licence"))
    data = genstudio("models", "show", "var-d16", "--json").data
    assert data["release"]["config"]["width"] == 1024


def test_show_says_what_reads_prompts_and_how_pictures_are_scored() -> None:
    out = genstudio("models", "show", "llamagen-t2i-xl-256").out
    assert "caption (slots 120, width 2048)" in out
    assert "google/flan-t5-xl, cleaned by deepfloyd, 120 tokens of 2048" in out
    large = genstudio("models", "show", "llamagen-l-384").out
    assert "caption" not in large and "random labels, resized to 256 px" in large


def test_an_import_is_reported_and_then_listed_as_imported(official: Release, tmp_path: Path) -> None:
    path = tmp_path / "var_tiny.pth"
    torch.save(_official_tensors(), path)
    found = genstudio("models", "import", path, "--as", "var-tiny")
    assert found.code == Exit.OK
    assert "34 tensors" in found.out
    assert "seen for the first time" in found.out
    again = genstudio("models", "import", path, "--as", "var-tiny", "--json").data
    assert again["hash"] == "as seen first"
    assert genstudio("models", "show", "var-tiny", "--json").data["place"] == "imported"


def test_verify_passes_a_good_pair_and_fails_a_broken_one_with_code_5(tmp_path: Path) -> None:
    made = pair.make(tmp_path)
    good = genstudio("models", "verify", made.generator_folder)
    assert good.code == Exit.OK
    assert "FAILED" not in good.out
    with torch.no_grad():
        made.generator.head.bias.neg_()
    made.save()
    bad = genstudio("models", "verify", made.generator_folder, "--json")
    assert bad.code == Exit.CHECK
    assert [check["name"] for check in bad.data["checks"] if not check["ok"]] == ["loss"]


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def _bomb(path: Path) -> None:
    torch.save({"x": _Bomb(path.with_name("marker"))}, path)


def _truncated(path: Path) -> None:
    save_file(_official_tensors(), path)
    path.write_bytes(path.read_bytes()[:5000])


def _deeper(path: Path) -> None:
    config = replace(tiny.GENERATOR, depth=5)
    torch.save(to_official(tiny.network(config).state_dict(), table_for(config)), path)


def _unknown(path: Path) -> None:
    torch.save({"transformer.h.0.attn.weight": torch.zeros(2)}, path)


BAD_FILES = [
    (_bomb, "holds code besides tensors", Exit.WEIGHTS),
    (_truncated, "truncated or damaged", Exit.WEIGHTS),
    (_deeper, "looks like a VAR transformer of depth 5", Exit.WEIGHTS),
    (_unknown, "1 unknown (transformer.h.0.attn.weight)", Exit.WEIGHTS),
    (lambda path: None, "No such file", Exit.WEIGHTS),
]


@pytest.mark.parametrize(("make", "message", "code"), BAD_FILES)
def test_a_bad_file_gives_two_lines_and_stores_nothing(
    make, message, code, official: Release, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors" if make is _truncated else tmp_path / "weights.pth"
    make(path)
    found = genstudio("models", "import", path, "--as", "var-tiny")
    assert found.code == code
    assert message in found.err
    assert len(found.err.splitlines()) == 2
    assert found.out == ""
    assert not (tmp_path / "marker").exists()
    assert not home.exists()


def test_errors_with_json_are_json(tmp_path: Path) -> None:
    found = genstudio("models", "import", tmp_path / "absent.pth", "--as", "var-d16", "--json")
    assert found.data["error"]["code"] == Exit.WEIGHTS
    assert found.err == ""


@pytest.mark.parametrize(
    "words", [("show", "var-d61"), ("verify", "var-d61"), ("import", "f", "--as", "var-d61")]
)
def test_an_unknown_name_gets_the_nearest(words) -> None:
    found = genstudio("models", *words)
    assert found.code == Exit.USAGE
    assert "Did you mean var-d16" in found.err


def test_verifying_what_is_not_here_names_the_size_and_the_command() -> None:
    found = genstudio("models", "verify", "var-d30")
    assert found.code == Exit.WEIGHTS
    assert "not on this machine (8.0 GB)" in found.err


def test_a_broken_release_in_the_cache_is_named(home: Path) -> None:
    write_text(home / "models" / "odd" / "release.json", "{}")
    found = genstudio("models")
    assert found.code == Exit.WEIGHTS
    assert str(home / "models" / "odd") in found.err


def test_a_full_disk_is_two_lines_and_nothing_is_left(
    official: Release, home: Path, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "var_tiny.pth"
    torch.save(_official_tensors(), path)

    def full(tensors, name, metadata) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genstudio.releases.weights.save_file", full)
    found = genstudio("models", "import", path, "--as", "var-tiny")
    assert "The disk is full" in found.err
    assert [one for one in home.rglob("*") if one.is_file() and "first-seen" not in one.name] == []


def test_listing_and_showing_import_no_torch(home: Path) -> None:
    write_text(home / "models" / "mine" / "release.json", to_json(tiny.release(tiny.VQ, "mine")))
    code = (
        "import sys; from genstudio.cli.main import app; app(['models'], standalone_mode=False); "
        "app(['models', 'show', 'mine'], standalone_mode=False); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"
