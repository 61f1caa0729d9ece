"""Official files are read as tables of tensors; whatever else a pickle wants is refused and never run."""

import argparse
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from genstudio.errors import Exit, GenstudioError
from genstudio.releases.pickles import read_official
from genstudio.releases.release import Packing

TENSORS = {"a.weight": torch.arange(12.0).view(3, 4), "b": torch.tensor([1, 2])}
TRAINING = Packing(unwrap=(("trainer", "var_wo_ddp"), ("ema",)), inert=("argparse.Namespace",))


def _same(found: dict) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["bare.pth", "bare.pth.tar", "bare.pt"])
def test_bare_files_in_both_torch_formats(zipped: bool, name: str, tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert _same(read_official(tmp_path / name, TRAINING))


def test_safetensors_whatever_the_file_is_called(tmp_path: Path) -> None:
    for name in ("mirror.safetensors", "mirror.bin"):
        save_file(TENSORS, tmp_path / name)
        assert _same(read_official(tmp_path / name, TRAINING))


def test_a_training_checkpoint_is_unwrapped_and_its_arguments_are_inert(tmp_path: Path) -> None:
    training = {
        "epoch": 3,
        "trainer": {"config": {"lr": 0.1}, "var_wo_ddp": TENSORS, "var_opt": {"state": {0: torch.zeros(2)}}},
        "args": argparse.Namespace(depth=16, nested=argparse.Namespace(flag=True)),
    }
    torch.save(training, tmp_path / "ar-ckpt.pth")
    assert _same(read_official(tmp_path / "ar-ckpt.pth", TRAINING))


def test_an_inert_class_need_not_exist_here(tmp_path: Path, monkeypatch) -> None:
    """Official files of other methods hold configuration objects of libraries that we do not depend on."""
    module = types.ModuleType("gone_library.config")

    class Settings(dict):
        """What a configuration library would pickle: a class with arguments and state."""

        def __reduce_ex__(self, protocol):
            return Settings, ("argument",), {"content": dict(self)}

    Settings.__module__, Settings.__qualname__ = "gone_library.config", "Settings"
    module.Settings = Settings
    monkeypatch.setitem(sys.modules, "gone_library", types.ModuleType("gone_library"))
    monkeypatch.setitem(sys.modules, "gone_library.config", module)
    path = tmp_path / "w.pth"
    torch.save({"ema": TENSORS, "config": Settings(depth=2)}, path)
    monkeypatch.delitem(sys.modules, "gone_library.config")
    monkeypatch.delitem(sys.modules, "gone_library")
    assert _same(read_official(path, Packing(unwrap=(("ema",),), inert=("gone_library.config.Settings",))))
    with pytest.raises(GenstudioError, match=r"code besides tensors: gone_library\.config\.Settings"):
        read_official(path, Packing(unwrap=(("ema",),)))


class _Bomb:
    """Runs a command when a plain unpickler meets it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused_by_name_and_not_run(zipped: bool, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "bomb.pth"
    torch.save({**TENSORS, "x": _Bomb(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(GenstudioError, match=r"code besides tensors: \w+\.system") as caught:
        read_official(path, TRAINING)
    assert caught.value.code == Exit.WEIGHTS
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the bomb of this test is a dud"


def test_a_bare_pickle_bomb_and_a_call_of_a_builtin(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(_Bomb(marker), protocol=2))
    call = b"\x80\x02c__builtin__\neval\nX\x04\x00\x00\x001+12\x85R."
    (tmp_path / "eval.pt").write_bytes(call)
    for name in ("bare.pt", "eval.pt"):
        with pytest.raises(GenstudioError) as caught:
            read_official(tmp_path / name, TRAINING)
        assert caught.value.code == Exit.WEIGHTS
    assert not marker.exists()


@pytest.mark.parametrize("kept", [3, 200, 0.5, 0.95])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_truncated_files_are_named(name: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "w.pth":
        torch.save({"a": torch.randn(100, 100)}, path)
    else:
        save_file({"a": torch.randn(100, 100)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(GenstudioError, match="truncated or damaged") as caught:
        read_official(path, TRAINING)
    assert str(path) in caught.value.message
    assert caught.value.code == Exit.WEIGHTS


def test_torchscript_is_refused_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/constants.pkl", b"")
        archive.writestr("script/data.pkl", b"")
    with pytest.raises(GenstudioError, match="TorchScript"):
        read_official(path, TRAINING)


@pytest.mark.parametrize("held", [{"epoch": 1, "model": TENSORS}, [1, 2], {"a": torch.zeros(1), "step": 3}])
def test_a_file_without_a_table_of_tensors_says_what_it_holds(held, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "odd.pth")
    with pytest.raises(GenstudioError, match="no table of tensors") as caught:
        read_official(tmp_path / "odd.pth", TRAINING)
    assert caught.value.code == Exit.WEIGHTS


def test_other_files_and_missing_ones(tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(GenstudioError, match="neither a torch file nor"):
        read_official(tmp_path / "page.pth", TRAINING)
    with pytest.raises(GenstudioError, match="No such file"):
        read_official(tmp_path / "absent.pth", TRAINING)


def test_a_zip_file_stays_mapped(tmp_path: Path) -> None:
    """Reading 64 MB of tensors must not take 64 MB of memory."""
    path = tmp_path / "large.pth"
    torch.save({"a": torch.zeros(16 << 20)}, path)
    before = psutil.Process().memory_info().rss
    tensors = read_official(path, TRAINING)
    assert psutil.Process().memory_info().rss - before < 16 << 20
    assert tensors["a"].shape == (16 << 20,)
