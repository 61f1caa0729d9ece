"""Arrays of numpy's .npz files: small ones whole, pictures piece by piece. Pickled objects are never read.

Shapes: N pictures, C channels, H x W pixels.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import torch
from torch import Tensor

from genstudio.errors import Exit, GenstudioError

PICTURES: Final = "arr_0"  # what np.savez calls an array without a name, and the ADM evaluator its pictures
DAMAGE = (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile)


def names(path: Path) -> set[str]:
    """The arrays that a file holds. Raises GenstudioError (exit code 3) for a missing or damaged file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except DAMAGE as error:
        raise damaged(path, error) from error


def arrays(path: Path, wanted: set[str]) -> dict[str, Any]:
    """Those of the wanted arrays that are there. Raises GenstudioError (exit code 3) for damage."""
    there = names(path) & wanted
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in there}
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> GenstudioError:
    """The error for a file that is no .npz of plain numbers."""
    return GenstudioError(
        f"{path} is no .npz that can be read ({error}).", "Copy or make the file again.", Exit.WEIGHTS
    )


class NpzPictures:
    """The pictures `arr_0`, uint8 [N,H,W,C], read from the archive when they are asked for.

    Asking in order reads the file once; going back opens it again. Raises GenstudioError for a missing or
    damaged file, and an array of another type or shape.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, shape = self._opened()
        self.count, self.height, self.width, self.channels = shape
        self._next = 0

    def __len__(self) -> int:
        return self.count

    def take(self, at: range) -> Tensor:
        """The pictures of a range without gaps, uint8 [N,C,H,W]."""
        if at.start < self._next:
            self._file.close()
            self._file, self._next = self._opened()[0], 0
        shape = (len(at), self.height, self.width, self.channels)
        each = self.height * self.width * self.channels
        try:
            self._file.seek((at.start - self._next) * each, 1)
            content = self._file.read(len(at) * each)
            levels = np.frombuffer(content, np.uint8).reshape(shape)
        except DAMAGE as error:
            raise damaged(self.path, error) from error
        self._next = at.stop
        return torch.from_numpy(levels.transpose(0, 3, 1, 2).copy())

    def batches(self, size: int) -> Iterator[Tensor]:
        """All of them, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))

    def _opened(self) -> tuple[IO[bytes], tuple[int, ...]]:
        """The array's bytes, behind their header."""
        try:
            file = zipfile.ZipFile(self.path).open(f"{PICTURES}.npy")  # noqa: SIM115 (read on later)
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        except DAMAGE as error:
            raise damaged(self.path, error) from error
        if len(shape) != 4 or dtype != np.uint8 or shape[3] not in (1, 3) or fortran:
            raise GenstudioError(
                f"{PICTURES} in {self.path} is {dtype} {list(shape)}, not uint8 [N,H,W,3].",
                "Give pictures as the ADM evaluator wants them.",
            )
        return file, shape
