"""A safetensors file written tensor by tensor, so that memory holds one of them and not the file.

Shapes alone decide the layout: the header goes first, then every tensor to its own place. The bytes are those
that the safetensors library would write.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from genstudio.releases.storage import Packed

ALIGNMENT: Final = 8
NAMES: Final = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save_file(packed: Packed, path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors in their stored form. Raises OSError for a full disk, KeyError for an unusual type."""
    table = _table(packed.shapes())
    header = _header(table, metadata)
    with path.open("wb") as file:
        file.write(header)
        for name, tensor in packed:
            file.seek(len(header) + table[name]["data_offsets"][0])
            _write(file, tensor)
            del tensor  # before the next one is made


def _table(shapes: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Types, shapes and places: wide numbers first, so that each lies at a multiple of its own width."""
    table: dict[str, dict[str, Any]] = {}
    end = 0
    for name, tensor in sorted(shapes.items(), key=lambda item: (-item[1].element_size(), item[0])):
        begin, end = end, end + tensor.numel() * tensor.element_size()
        table[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    return table


def _header(table: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """Length and text, filled up with spaces to where numbers may begin."""
    whole = {"__metadata__": dict(metadata), **table}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(ALIGNMENT, "little") + text


def _write(file: BinaryIO, tensor: Tensor) -> None:
    """The numbers as they lie in memory; numpy has no bfloat16, so they are looked at as bytes."""
    file.write(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
