"""Weights come back as they were stored; what does not fit or cannot be written says so, leaving nothing."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from genstudio import registry
from genstudio.errors import Exit, GenstudioError
from genstudio.files import digest
from genstudio.releases import weights
from genstudio.releases.header import read_header
from genstudio.releases.release import File, from_json
from genstudio.releases.storage import pack, unpack
from tests.releases import tiny


def _same(left: nn.Module, right: nn.Module) -> bool:
    ours, theirs = left.state_dict(), right.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("config", [tiny.GENERATOR, tiny.VQ], ids=["generator", "tokenizer"])
def test_a_release_folder_gives_the_same_network_again(config, tmp_path: Path) -> None:
    network = tiny.network(config)
    weights.save_release(tmp_path, network, tiny.release(config))
    found = from_json((tmp_path / "release.json").read_text(), str(tmp_path))
    loaded = weights.load(found)
    assert _same(network, loaded)
    assert not loaded.training
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "release.json"]


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    network = tiny.network(tiny.VQ)
    for number in range(8):
        weights.save(tmp_path / f"{number}.safetensors", network, tiny.release(tiny.VQ))
    assert len({digest(path) for path in tmp_path.iterdir()}) == 1


def test_the_file_alone_tells_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    network = tiny.network(tiny.VQ)
    origin = weights.Origin("official.pth", "ab" * 32)
    weights.write(path, network.state_dict(), tiny.release(tiny.VQ), "bfloat16", origin)
    studio = read_header(path).studio
    assert studio["release"]["config"]["vocab"] == 64
    assert studio["origin"] == {"file": "official.pth", "sha256": "ab" * 32}
    assert studio["storage"] == "bfloat16"


def test_int8_rows_stay_within_half_a_step_and_small_tensors_within_bfloat16() -> None:
    tensors = {
        "rows": torch.randn(64, 128) * torch.logspace(-6, 2, 64)[:, None],
        "zero": torch.zeros(64, 64),
        "kernel": torch.randn(32, 16, 3, 3),
        "bias": torch.randn(512),
        "count": torch.tensor(3),
    }
    packed = pack(tensors, "int8")
    assert packed["rows"].dtype == packed["kernel"].dtype == torch.int8
    assert packed["bias"].dtype == torch.bfloat16
    back = unpack(packed, torch.float32)
    assert back.keys() == tensors.keys()
    half_step = tensors["rows"].abs().amax(1, keepdim=True) / 127 / 2
    assert ((back["rows"] - tensors["rows"]).abs() <= half_step * 1.0001).all()
    assert torch.equal(back["zero"], tensors["zero"])
    torch.testing.assert_close(back["bias"], tensors["bias"], rtol=2**-8, atol=0)
    assert torch.equal(back["count"], tensors["count"])


def test_int8_makes_a_generator_about_a_quarter_of_its_size(tmp_path: Path) -> None:
    network = tiny.network(replace(tiny.GENERATOR, width=128))
    sizes = {}
    for storage in ("float32", "int8"):
        path = tmp_path / storage
        weights.save(path, network, tiny.release(network.config), storage)
        sizes[storage] = path.stat().st_size
    assert sizes["int8"] < 0.3 * sizes["float32"]
    read = weights.read(tmp_path / "int8", dtype=torch.bfloat16)
    assert {value.dtype for value in read.values()} == {torch.bfloat16}


def test_weights_of_another_architecture_are_named_not_dumped(tmp_path: Path) -> None:
    deeper = replace(tiny.GENERATOR, depth=3)
    weights.save_release(tmp_path, tiny.network(deeper), tiny.release(deeper))
    release = replace(tiny.release(tiny.GENERATOR), folder=str(tmp_path))
    with pytest.raises(GenstudioError, match=r"12 unknown \(blocks.2.*, \.\.\.\)") as caught:
        weights.load(release)
    assert caught.value.code == Exit.WEIGHTS
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_named(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights.save(path, tiny.network(tiny.VQ), tiny.release(tiny.VQ))
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(GenstudioError, match="truncated or damaged") as caught:
        weights.read(path)
    assert caught.value.code == Exit.WEIGHTS
    assert str(path) in caught.value.message


def test_missing_weights_name_the_size_and_the_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GENSTUDIO_HOME", str(tmp_path))
    release = replace(
        tiny.release(tiny.GENERATOR, "var-d30"),
        file=File(hub="FoundationVision/var", name="var_d30.pth", size=8_042_000_000),
    )
    with pytest.raises(GenstudioError) as caught:
        weights.resolve(release)
    assert caught.value.message == "var-d30 is not on this machine (8.0 GB)."
    assert "genstudio models import var_d30.pth --as var-d30" in caught.value.hint
    assert caught.value.code == Exit.WEIGHTS


def test_a_full_disk_leaves_nothing_behind_and_keeps_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "model.safetensors"
    release, network = tiny.release(tiny.VQ), tiny.network(tiny.VQ)
    weights.save(path, network, release)
    before = digest(path)

    def full(tensors, name, metadata) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(GenstudioError, match="disk is full"):
        weights.save(path, tiny.network(tiny.VQ, seed=1), release)
    assert [one.name for one in tmp_path.iterdir()] == ["model.safetensors"]
    assert digest(path) == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GenstudioError, match="cannot be written"):
        weights.save(tmp_path / "file" / "w.safetensors", tiny.network(tiny.VQ), tiny.release(tiny.VQ))


def test_building_on_meta_costs_no_memory() -> None:
    assert all(value.is_meta for value in registry.build(tiny.GENERATOR).parameters())
