"""Fashion-MNIST from small idx files, and from the real ones where they are installed."""

import gzip
from pathlib import Path

import pytest
import torch

from genstudio.data.fashion import DEBIAN_FOLDER
from genstudio.data.pictures import batches
from genstudio.data.sources import open_pictures
from genstudio.errors import GenstudioError


def idx(values: torch.Tensor) -> bytes:
    header = (0x0800 + values.dim()).to_bytes(4, "big")
    return header + b"".join(side.to_bytes(4, "big") for side in values.shape) + values.numpy().tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = torch.Generator().manual_seed(0)
    for prefix, count in (("train", 6), ("t10k", 3)):
        pictures = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=draw)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures)))
        labels = torch.arange(count, dtype=torch.uint8)
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def test_pictures_stand_in_the_middle_of_a_black_square(folder: Path) -> None:
    pictures = open_pictures(f"fashion:{folder}", "train", 32, 1)
    x_nCHW = pictures.pixels([0, 5])
    raw = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())[16 : 16 + 28 * 28]
    assert x_nCHW.shape == (2, 1, 32, 32) and x_nCHW.dtype == torch.uint8
    assert x_nCHW[0, 0, 2:30, 2:30].flatten().tolist() == list(raw)
    border = torch.ones(32, 32, dtype=torch.bool)
    border[2:30, 2:30] = False
    assert x_nCHW[:, :, border].sum() == 0


def test_labels_splits_and_channels(folder: Path) -> None:
    train = open_pictures(f"fashion:{folder}", "train", 32, 3)
    test = open_pictures(f"fashion:{folder}", "test", 32, 3)
    assert (len(train), len(test)) == (6, 3)
    assert train.labels(torch.tensor([4, 1])).tolist() == [4, 1]
    assert train.classes[9] == "Ankle boot" and train.classes == test.classes
    x_nCHW = train.pixels([2])
    assert x_nCHW.shape == (1, 3, 32, 32) and torch.equal(x_nCHW[:, 0], x_nCHW[:, 2])


def test_fingerprint_follows_the_pixels_not_the_packing(folder: Path) -> None:
    before = open_pictures(f"fashion:{folder}", "train", 32, 1).fingerprint
    assert open_pictures(f"fashion:{folder}", "train", 30, 1).fingerprint != before
    packed = folder / "train-images-idx3-ubyte.gz"
    raw = bytearray(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    (folder / "train-images-idx3-ubyte").write_bytes(raw)
    assert open_pictures(f"fashion:{folder}", "train", 32, 1).fingerprint == before
    raw[-1] ^= 1
    (folder / "train-images-idx3-ubyte").write_bytes(raw)
    assert open_pictures(f"fashion:{folder}", "train", 32, 1).fingerprint != before


def test_batches_cover_every_picture_once_in_order(folder: Path) -> None:
    pictures = open_pictures(f"fashion:{folder}", "train", 32, 1)
    assert [part.tolist() for part in batches(pictures, 4)] == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"\0\0\x08\x01" + bytes(40)),
        gzip.compress(idx(torch.zeros(6, 28, 28, dtype=torch.uint8)))[:-20],
        gzip.compress(idx(torch.zeros(6, 28, 28, dtype=torch.uint8))[:-1]),
        gzip.compress(idx(torch.zeros(5, 28, 28, dtype=torch.uint8))),
    ],
    ids=["empty", "not gzip", "wrong dimensions", "cut gzip", "cut idx", "count differs"],
)
def test_damaged_files_are_named(folder: Path, content: bytes) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(GenstudioError, match=r"train-(images|labels)-idx"):
        open_pictures(f"fashion:{folder}", "train", 32, 1)


def test_labels_beyond_the_ten_classes_are_refused(folder: Path) -> None:
    labels = gzip.compress(idx(torch.full((6,), 10, dtype=torch.uint8)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(GenstudioError, match="labels 0 to 9"):
        open_pictures(f"fashion:{folder}", "train", 32, 1)


def test_a_size_below_the_pictures_is_refused(folder: Path) -> None:
    with pytest.raises(GenstudioError, match="28 pixels wide"):
        open_pictures(f"fashion:{folder}", "train", 16, 1)


def test_missing_data_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError) as caught:
        open_pictures(f"fashion:{tmp_path}", "train", 32, 1)
    assert "dataset-fashion-mnist" in caught.value.hint and caught.value.code == 2


def test_the_data_folder_of_the_environment_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    home.mkdir()
    (home / "fashion").symlink_to(folder)
    monkeypatch.setenv("GENSTUDIO_DATA", str(home))
    assert len(open_pictures("fashion", "test", 32, 1)) == 3


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="the package dataset-fashion-mnist is not installed")
def test_the_real_test_set() -> None:
    pictures = open_pictures(f"fashion:{DEBIAN_FOLDER}", "test", 32, 1)
    labels_N = pictures.labels(range(len(pictures)))
    assert len(pictures) == 10_000 and torch.bincount(labels_N).tolist() == [1000] * 10
    assert pictures.classes[int(labels_N[0])] == "Ankle boot"
