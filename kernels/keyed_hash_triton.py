"""The Triton twin of `keyed_bits`: a program per row and block of elements reads one key.

Registered as the custom op `genstudio::keyed_bits`, so that torch.compile sees through it. int64 is carried
as uint64 inside, which makes every shift a logical one. This file is imported only where Triton runs.
Shapes: R rows, E elements.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .keyed_hash import MULTIPLIER

BLOCK = 1024
UNSIGNED_MULTIPLIER = tl.constexpr(MULTIPLIER % 2**64)


@torch.library.custom_op("genstudio::keyed_bits", mutates_args=())
def keyed_bits_triton(state_R: Tensor, elements: int) -> Tensor:
    """64 random bits (int64) for the elements 0..E-1 of every row's key, [R, E]."""
    bits_RE = torch.empty(len(state_R), elements, dtype=torch.int64, device=state_R.device)
    if bits_RE.numel():
        grid = (len(state_R), triton.cdiv(elements, BLOCK))
        _keyed_bits_kernel[grid](state_R.contiguous(), bits_RE, elements, BLOCK=BLOCK)
    return bits_RE


@keyed_bits_triton.register_fake
def _(state_R: Tensor, elements: int) -> Tensor:
    return state_R.new_empty(len(state_R), elements)


@triton.jit  # type: ignore[untyped-decorator]
def _keyed_bits_kernel(state_ptr: Any, bits_ptr: Any, elements: Any, BLOCK: tl.constexpr) -> None:
    row = tl.program_id(0).to(tl.int64)
    element = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(state_ptr + row).to(tl.uint64, bitcast=True) ^ element.to(tl.uint64)
    x = (x ^ (x >> 32)) * UNSIGNED_MULTIPLIER
    x = (x ^ (x >> 32)) * UNSIGNED_MULTIPLIER
    x = x ^ (x >> 32)
    tl.store(bits_ptr + row * elements + element, x.to(tl.int64, bitcast=True), mask=element < elements)
