"""Official files become ours, strictly; a file that is something else is told what it looks like."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from genstudio import registry
from genstudio.errors import Exit, GenstudioError
from genstudio.files import digest
from genstudio.releases import catalogue, weights
from genstudio.releases.header import read_header
from genstudio.releases.imports import import_file
from genstudio.releases.places import place, resolve
from genstudio.releases.release import Config, File, Packing, Release, to_json
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from tests.releases import tiny

# One import so that libraries are loaded, then the peaks of three more.
IMPORTS = """
import sys
from pathlib import Path

from genstudio.measure.memory import PeakMemory
from genstudio.releases.imports import import_file
from genstudio.releases.release import from_json

first, path, release, wide = map(Path, sys.argv[1:])
import_file(first, from_json(release.read_text()))
peaks = []
for _ in range(3):
    with PeakMemory() as peak:
        import_file(path, from_json(wide.read_text()))
    peaks.append(peak.bytes)
print(peaks)
"""

RELEASES = ("first.json", "wide.json")

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def release() -> Release:
    return replace(
        tiny.release(tiny.GENERATOR, "var-tiny"),
        file=File(hub="someone/var", name="var_tiny.pth"),
        packing=Packing(unwrap=(("trainer", "var_wo_ddp"),)),
    )


def _official(config: Config, seed: int = 0) -> dict[str, Tensor]:
    return to_official(tiny.network(config, seed).state_dict(), table_for(config))


def _hollow(name: str) -> dict[str, Tensor]:
    """The official tensors of a release in their shapes, each a single stored zero."""
    config = catalogue.find(name).config
    zero = torch.zeros(())
    ours = {key: zero.expand(shape) for key, shape in registry.shapes(config).items()}
    return to_official(ours, table_for(config))


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "training"])
def test_an_import_loads_as_the_same_network(wrapped: bool, release: Release, tmp_path: Path) -> None:
    path = tmp_path / "var_tiny.pth"
    official = _official(tiny.GENERATOR)
    torch.save({"trainer": {"var_wo_ddp": official}} if wrapped else official, path)
    report = import_file(path, release)
    assert place(release) == "imported"
    network, original = weights.load(release), tiny.network(tiny.GENERATOR)
    for name, value in original.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert (report.tensors, report.checked[0], report.dropped) == (34, "lvl_1L", ())
    studio = read_header(resolve(release)).studio
    assert studio["origin"] == {"file": "var_tiny.pth", "sha256": digest(path)}
    assert studio["release"]["name"] == "var-tiny"


def test_a_mirror_as_safetensors_gives_the_same_numbers(release: Release, tmp_path: Path) -> None:
    torch.save(_official(tiny.GENERATOR), tmp_path / "var_tiny.pth")
    import_file(tmp_path / "var_tiny.pth", release)
    first = weights.read(resolve(release))
    save_file(_official(tiny.GENERATOR), tmp_path / "mirror.safetensors")
    report = import_file(tmp_path / "mirror.safetensors", release)
    assert report.hash.startswith("not compared")
    second = weights.read(resolve(release))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_statistics_of_the_tokenizer_are_named_as_dropped(tmp_path: Path) -> None:
    torch.save(_official(tiny.VQ), tmp_path / "vae.pth")
    assert import_file(tmp_path / "vae.pth", tiny.release(tiny.VQ)).dropped == ("quantize.ema_vocab_hit_SV",)


def test_the_first_hash_is_recorded_and_another_one_refused(release: Release, tmp_path: Path) -> None:
    path = tmp_path / "var_tiny.pth"
    torch.save(_official(tiny.GENERATOR), path)
    assert import_file(path, release).hash == "seen for the first time and recorded"
    assert import_file(path, release).hash == "as seen first"
    torch.save(_official(tiny.GENERATOR, seed=1), path)
    with pytest.raises(GenstudioError, match="is not the file that was seen first") as caught:
        import_file(path, release)
    assert caught.value.code == Exit.CHECK
    assert "first-seen.json" in caught.value.hint


def test_a_published_hash_is_compared(release: Release, tmp_path: Path) -> None:
    path = tmp_path / "var_tiny.pth"
    torch.save(_official(tiny.GENERATOR), path)
    known = replace(release, file=replace(release.file, sha256=digest(path)))
    assert import_file(path, known).hash == "as published"
    other = replace(release, file=replace(release.file, sha256="0" * 64))
    with pytest.raises(GenstudioError, match="is not the file that was published"):
        import_file(path, other)


@pytest.mark.parametrize("real", ["var-d20", "var-d36-512", "var-d16-plain", "var-vqvae"])
def test_a_file_of_another_release_is_recognised(real: str, tmp_path: Path) -> None:
    """Shapes, names and the level buffer tell every official release apart, plain attention included."""
    path = tmp_path / "weights.pth"
    torch.save(_hollow(real), path)
    with pytest.raises(GenstudioError) as caught:
        import_file(path, catalogue.find("var-d16"))
    assert caught.value.message == f"{path} looks like {real}; you asked for var-d16."
    assert caught.value.hint == f"Run: genstudio models import {path} --as {real}"
    assert caught.value.code == Exit.WEIGHTS


def test_a_network_of_no_release_is_described(release: Release, tmp_path: Path) -> None:
    deeper = replace(tiny.GENERATOR, depth=3, classes=12, shared_adaln=True)
    torch.save(_official(deeper), tmp_path / "w.pth")
    with pytest.raises(GenstudioError, match=r"depth 3, width 64, 12 classes, 21 slots.* shared adaLN"):
        import_file(tmp_path / "w.pth", release)
    assert place(release) == "missing"


def test_a_right_but_incomplete_file_names_what_is_missing(release: Release, tmp_path: Path) -> None:
    official = _official(tiny.GENERATOR)
    del official["blocks.1.ffn.fc2.bias"]
    torch.save(official, tmp_path / "w.pth")
    with pytest.raises(
        GenstudioError, match=r"looks like var-tiny, but .* 1 missing \(blocks\.1\.ffn\.fc2\.bias\)"
    ):
        import_file(tmp_path / "w.pth", release)


def test_unknown_tensors_are_counted_not_dumped(release: Release, tmp_path: Path) -> None:
    torch.save({f"layer.{i}.weight": torch.zeros(2) for i in range(500)}, tmp_path / "w.pth")
    with pytest.raises(GenstudioError, match="500 unknown") as caught:
        import_file(tmp_path / "w.pth", release)
    assert len(caught.value.message) < 500


def test_the_record_is_plain_json(release: Release, tmp_path: Path) -> None:
    path = tmp_path / "var_tiny.pth"
    torch.save(_official(tiny.GENERATOR), path)
    import_file(path, release)
    record = json.loads((tmp_path / "home" / "first-seen.json").read_text())
    assert record["someone/var/var_tiny.pth"] == digest(path)
    assert record[str(resolve(release))] == digest(resolve(release))


def test_a_trained_release_is_not_overwritten(tmp_path: Path) -> None:
    weights.save_release(tmp_path, tiny.network(tiny.VQ), tiny.release(tiny.VQ))
    before = digest(tmp_path / "model.safetensors")
    torch.save(_official(tiny.VQ, seed=1), tmp_path / "w.pth")
    with pytest.raises(GenstudioError, match="has its weights already"):
        import_file(tmp_path / "w.pth", catalogue.read_folder(tmp_path))
    assert digest(tmp_path / "model.safetensors") == before


def _kinds(folder: Path, official: dict[str, Tensor]) -> dict[str, Path]:
    """The same tensors as a torch file, as a half-precision mirror of it and as safetensors."""
    half = {name: value.half() if value.is_floating_point() else value for name, value in official.items()}
    paths = {name: folder / name for name in ("full.pth", "half.pth", "half.safetensors")}
    torch.save(official, paths["full.pth"])
    torch.save(half, paths["half.pth"])
    save_file(half, paths["half.safetensors"])
    return paths


@pytest.mark.parametrize("kind", ["full.pth", "half.pth", "half.safetensors"])
def test_memory_holds_one_tensor_and_not_the_file(kind: str, release: Release, tmp_path: Path) -> None:
    """Of 79 MB in float32 the largest tensor has 6 MB. Some 8 MB are measured where nothing disturbs; malloc
    may keep two freed tensors beside the one in use. Its own process, as malloc remembers other tests."""
    torch.save(_official(tiny.GENERATOR), tmp_path / "first.pth")
    wide = replace(tiny.GENERATOR, width=512, heads=8, depth=4)
    official = {name: value.clone() for name, value in _official(wide).items()}
    largest, whole = max(v.nbytes for v in official.values()), sum(v.nbytes for v in official.values())
    assert whole > 12 * largest
    for name, one in zip(RELEASES, (release, replace(release, name="wide", config=wide)), strict=True):
        (tmp_path / name).write_text(to_json(one))
    files = [tmp_path / "first.pth", _kinds(tmp_path, official)[kind], *map(tmp_path.joinpath, RELEASES)]
    ran = subprocess.run([sys.executable, "-c", IMPORTS, *files], capture_output=True, text=True, check=True)
    assert min(json.loads(ran.stdout)) < 3 * largest + 4_000_000 < whole / 3


def _sharded(folder: Path, official: dict[str, Tensor]) -> Path:
    """Two files and their index, as large models come."""
    names = sorted(official)
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for part in set(places.values()):
        save_file({name: official[name] for name in names if places[name] == part}, folder / part)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_several_files_and_their_index_are_one_model(release: Release, tmp_path: Path) -> None:
    index = _sharded(tmp_path, _official(tiny.GENERATOR))
    report = import_file(index, release)
    assert report.tensors == 34
    assert report.sha256 == digest(*sorted(tmp_path.glob("model-*.safetensors")))
    for name, value in tiny.network(tiny.GENERATOR).state_dict().items():
        assert torch.equal(weights.read(resolve(release))[name], value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: next(folder.glob("*-00002-of-*")).unlink(),
            "00002-of-00002.safetensors cannot be read",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text("{}"),
            "no index of safetensors",
        ),
        (
            lambda folder: save_file({"odd": torch.zeros(1)}, next(folder.glob("*-00002-of-*"))),
            "disagree about",
        ),
    ],
)
def test_an_index_without_its_files_is_named(spoil, message: str, release: Release, tmp_path: Path) -> None:
    index = _sharded(tmp_path, _official(tiny.GENERATOR))
    spoil(tmp_path)
    with pytest.raises(GenstudioError, match=message) as caught:
        import_file(index, release)
    assert caught.value.code == Exit.WEIGHTS
    assert place(release) == "missing"
