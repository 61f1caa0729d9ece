"""The head of a safetensors file: its metadata and tensor table, read without torch and without the tensors.

Damage is found here, before any number is read: a file that ends too early says so by name.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from genstudio.errors import Exit, GenstudioError

_LENGTH = 8
_LONGEST = 100_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the table: its type as safetensors writes it (F32, BF16, I8, ...) and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Numbers in the tensor."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """Text metadata and the tensor table of one file of `size` bytes."""

    metadata: dict[str, str]
    tensors: dict[str, Entry]
    size: int

    @property
    def studio(self) -> dict[str, Any]:
        """What genstudio wrote about the file (release, origin, storage, version); empty for other files."""
        written: dict[str, Any] = json.loads(self.metadata.get("genstudio", "{}"))
        return written


def read_header(path: Path) -> Header:
    """Raises GenstudioError (exit code 3) for a missing, truncated or damaged file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            text = file.read(length) if length <= _LONGEST else b""
    except OSError as error:
        raise GenstudioError(
            f"{path} cannot be read: {error.strerror}.", "Check the path.", Exit.WEIGHTS
        ) from error
    try:
        table = json.loads(text)
        metadata = table.pop("__metadata__", {})
        ends = [entry["data_offsets"][1] for entry in table.values()]
        tensors = {name: Entry(entry["dtype"], tuple(entry["shape"])) for name, entry in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, "its header is not that of a safetensors file") from error
    size, whole = path.stat().st_size, _LENGTH + length + max(ends, default=0)
    if size != whole:
        raise damaged(path, f"it has {size:,} bytes and its header promises {whole:,}")
    return Header(metadata, tensors, size)


def damaged(path: Path, reason: str) -> GenstudioError:
    """The error for a file whose bytes cannot be what was written."""
    return GenstudioError(
        f"{path} is truncated or damaged: {reason}.", "Download or copy the file again.", Exit.WEIGHTS
    )
