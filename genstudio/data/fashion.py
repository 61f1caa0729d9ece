"""Fashion-MNIST (arXiv 1708.07747, MIT): 60,000 training and 10,000 test pictures of ten kinds of clothing.

Read from the four idx files, plain or gzipped, that the authors and the Debian package publish. The 28x28
pictures stand in the middle of a black square (32x32 by default elsewhere), never rescaled. Any idx pair of
the same form and file names works (MNIST, KMNIST), under the names of Fashion-MNIST.
"""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genstudio.data.labels import FASHION
from genstudio.data.pictures import Indices, Split, as_index
from genstudio.errors import GenstudioError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PREFIX = {"train": "train", "test": "t10k"}
UINT8_MAGIC = 0x0800  # third byte of an idx header: element type uint8; fourth byte: number of dimensions


class Fashion:
    """Fashion-MNIST in memory; `fingerprint` hashes the decoded pictures, the labels and the size served."""

    classes = FASHION

    def __init__(self, pixels_NHW: Tensor, labels_N: Tensor, pixels: int, channels: int) -> None:
        self._pixels_NHW = pixels_NHW
        self._labels_N = labels_N
        self._size = pixels
        self._channels = channels
        content = hashlib.sha256(pixels_NHW.numpy().tobytes())
        content.update(labels_N.numpy().tobytes())
        self.fingerprint = f"{content.hexdigest()[:32]}-{channels}x{pixels}"

    def __len__(self) -> int:
        return len(self._pixels_NHW)

    def pixels(self, indices: Indices) -> Tensor:
        """The pictures at these indices, uint8 [n,C,H,W]."""
        small_nHW = self._pixels_NHW[as_index(indices)]
        across, down = self._size - small_nHW.shape[2], self._size - small_nHW.shape[1]
        padding = (across // 2, across - across // 2, down // 2, down - down // 2)
        return F.pad(small_nHW, padding)[:, None].repeat(1, self._channels, 1, 1)

    def labels(self, indices: Indices) -> Tensor:
        """The labels at these indices, int64 [n]."""
        return self._labels_N[as_index(indices)]


def open_fashion(folder: Path | None, split: Split, pixels: int, channels: int) -> Fashion:
    """Read one split from `folder`, else $GENSTUDIO_DATA/fashion, else the Debian package's folder.

    Raises GenstudioError when files are missing or damaged, or `pixels` is smaller than the pictures.
    """
    folder = folder or _default_folder()
    pixels_path = _find(folder, f"{PREFIX[split]}-images-idx3-ubyte")
    labels_path = _find(folder, f"{PREFIX[split]}-labels-idx1-ubyte")
    pixels_NHW, labels_N = read_idx(pixels_path, dims=3), read_idx(labels_path, dims=1)
    if len(pixels_NHW) != len(labels_N):
        raise _damaged(labels_path, f"holds {len(labels_N)} labels for {len(pixels_NHW)} pictures")
    if len(labels_N) == 0 or int(labels_N.max()) >= len(FASHION):
        raise _damaged(labels_path, f"does not hold labels 0 to {len(FASHION) - 1}")
    largest = max(pixels_NHW.shape[1:])
    if pixels < largest:
        raise GenstudioError(
            f"These pictures are {largest} pixels wide and cannot be served at {pixels}.",
            f"Choose {largest} pixels or more (32 is the custom).",
        )
    return Fashion(pixels_NHW, labels_N.long(), pixels, channels)


def read_idx(path: Path, dims: int) -> Tensor:
    """The uint8 array of an idx file, gzipped where the name ends in .gz.

    Raises GenstudioError naming the file when it is no idx file of `dims` dimensions, or is cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    header = 4 * (1 + dims)
    if len(raw) < header or int.from_bytes(raw[:4], "big") != UINT8_MAGIC + dims:
        raise _damaged(path, f"is no idx file of {dims} dimensions")
    shape = [int.from_bytes(raw[4 * i : 4 * i + 4], "big") for i in range(1, dims + 1)]
    values = torch.frombuffer(bytearray(raw), dtype=torch.uint8)[header:]
    if len(values) != torch.Size(shape).numel():
        raise _damaged(path, f"holds {len(values)} values where its header says {shape}")
    return values.reshape(shape)


def _default_folder() -> Path:
    own = Path(os.environ.get("GENSTUDIO_DATA", "")) / "fashion"
    return own if "GENSTUDIO_DATA" in os.environ and own.is_dir() else DEBIAN_FOLDER


def _find(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise GenstudioError(
        f"Fashion-MNIST is not here: {folder} has no {stem} or {stem}.gz.",
        "Install the Debian package dataset-fashion-mnist, or give a folder of idx files as fashion:FOLDER.",
    )


def _damaged(path: Path, what: str) -> GenstudioError:
    return GenstudioError(f"{path} {what}.", "Fetch the file again, or point to another folder.")
