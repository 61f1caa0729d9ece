"""Keyed random bits: a counter-based hash, the one source of every random number of a run.

A key is folded part by part, `state = mix(state ^ part)`, and the elements of one place are the last part:
no state, no order of calls, the same bits on every device. `mix` is a 64-bit xorshift-multiply permutation,
two rounds per part: one round leaves neighbouring keys visibly correlated (top bits of consecutive elements
follow a lattice). int64 multiplication wraps alike on CPU, GPU and in Triton.
Shapes: R rows, E elements.
"""

import torch
from torch import Tensor

from .select import Kernels

MULTIPLIER = 0xD6E8FEB86659FD93 - 2**64
HALF = 0xFFFFFFFF
PIECE = 1 << 15  # per thread: 256 kB stay in the cache of a core, and are what torch gives a thread at least


def keyed_bits(state_R: Tensor, elements: int, kernels: Kernels) -> Tensor:
    """64 random bits (int64) for the elements 0..E-1 of every row's key, [R, E]."""
    if kernels == "triton":
        from .keyed_hash_triton import keyed_bits_triton

        return keyed_bits_triton(state_R, elements)
    return keyed_bits_torch(state_R, elements)


def keyed_bits_torch(state_R: Tensor, elements: int) -> Tensor:
    """The torch twin of `keyed_bits`; bit-equal to the Triton one."""
    bits_RE = state_R[:, None] ^ torch.arange(elements, device=state_R.device)
    flat = bits_RE.view(-1)
    for piece in torch.split(flat, PIECE * torch.get_num_threads()) if flat.device.type == "cpu" else (flat,):
        _mix_(piece)
    return bits_RE


def fold(state: Tensor, part: Tensor | int) -> Tensor:
    """The state of a longer key: one more part (int64, any value) mixed into it; shapes broadcast."""
    return _mix_(state ^ part)


def _mix_(x: Tensor) -> Tensor:
    """A permutation of int64 values, in place: xorshift 32, multiply, twice, and a last xorshift.

    Torch's shift copies the sign, so the upper half is masked off to make it a logical one.
    """
    for _ in range(2):
        x ^= (x >> 32).bitwise_and_(HALF)
        x *= MULTIPLIER
    x ^= (x >> 32).bitwise_and_(HALF)
    return x
