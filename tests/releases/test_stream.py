"""Files written tensor by tensor are those that the safetensors library writes, to the byte."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file as save_with_the_library

from genstudio.releases.storage import Packed, pack
from genstudio.releases.stream import save_file

ABOUT = {"genstudio": '{"release": "t\u00fcr"}'}


def _tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "z.rows": torch.randn(64, 128),
        "counts": torch.arange(7),
        "bias": torch.randn(5),
        "scalar": torch.tensor(2.5),
        "turned": torch.randn(6, 4).T,
        "repeated": torch.zeros(()).expand(3, 2),
        "empty": torch.zeros(0, 4),
    }


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
def test_the_bytes_are_those_of_the_library(storage, tmp_path: Path) -> None:
    save_file(Packed(_tensors(), storage), tmp_path / "ours", ABOUT)
    save_with_the_library(pack(_tensors(), storage), tmp_path / "theirs", ABOUT)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert torch.equal(load_file(tmp_path / "ours")["counts"], torch.arange(7))


def test_shapes_cost_no_numbers() -> None:
    packed = Packed(_tensors(), "int8")
    shapes, stored = packed.shapes(), dict(packed)
    assert all(value.is_meta for value in shapes.values())
    assert {name: (value.dtype, value.shape) for name, value in shapes.items()} == {
        name: (value.dtype, value.shape) for name, value in stored.items()
    }


def test_a_full_disk_keeps_its_number(tmp_path: Path) -> None:
    """On a device that is always full, where the machine has one."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        save_file(Packed(_tensors(), "float32"), Path("/dev/full"), ABOUT)
    assert caught.value.errno == errno.ENOSPC
