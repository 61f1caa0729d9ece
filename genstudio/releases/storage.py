"""How numbers are stored in a checkpoint: float32, bfloat16, or int8 rows with a scale each.

The int8 rule: a float tensor with at least two dimensions, more than one output row, at least 64 values in
a row and 4096 in all is stored as `NAME` (int8) and `NAME.scale` (float32, one per output row: the row's
largest magnitude / 127). Every other float tensor is stored as bfloat16; integers stay as they are. A row is
one index of the first dimension: an output feature of a linear layer, an output channel of a convolution.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Storage = Literal["float32", "bfloat16", "int8"]

SCALE = ".scale"
_ROW, _TOTAL, _TOP = 64, 4096, 127


@dataclass(frozen=True, slots=True)
class Packed:
    """Tensors in their stored form, made one at a time while they are iterated over."""

    tensors: Mapping[str, Tensor]
    storage: Storage

    def shapes(self) -> dict[str, Tensor]:
        """What is stored, on the meta device: types and shapes without numbers."""
        return pack({name: tensor.to("meta") for name, tensor in self.tensors.items()}, self.storage)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in self.tensors.items():
            yield from pack({name: tensor}, self.storage).items()


def pack(tensors: Mapping[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    """The tensors as they are written, each contiguous and with memory of its own."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if storage == "int8" and _has_rows(tensor):
            packed[name], packed[name + SCALE] = _quantised(tensor)
        else:
            packed[name] = _narrowed(tensor, storage)
    return packed


def unpack(stored: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The inverse of `pack`: int8 rows times their scales, every float tensor as `dtype`."""
    return {
        name: _restored(name, tensor, stored, dtype)
        for name, tensor in stored.items()
        if not (name.endswith(SCALE) and _is_quantised(stored.get(name.removesuffix(SCALE))))
    }


def _has_rows(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.shape[0] < 2:
        return False
    return tensor.numel() >= _TOTAL and tensor[0].numel() >= _ROW


def _quantised(tensor: Tensor) -> tuple[Tensor, Tensor]:
    rows = tensor.detach().float().flatten(1)
    scale = rows.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / _TOP
    return (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape), scale


def _narrowed(tensor: Tensor, storage: Storage) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.detach().contiguous()
    dtype = torch.float32 if storage == "float32" else torch.bfloat16
    return tensor.detach().to(dtype).contiguous()


def _restored(name: str, tensor: Tensor, stored: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    if _is_quantised(tensor):
        scale = stored[name + SCALE].float()
        return (tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))).to(dtype)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _is_quantised(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.dtype == torch.int8
