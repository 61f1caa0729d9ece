"""The Triton twin of `relaxed_mass`: a program walks along the nearest codes of one id and holds their sum.

Registered as the custom op `genstudio::relaxed_mass`, so that torch.compile sees through it. It stops at the
first block of codes that is not included whole. Delta is a constant of the compiled kernel: as an argument it
would be rounded to float32. Imported only where Triton runs.
Shapes: R laws, V codes, N ids to be judged, k nearest codes of each; c codes of one block.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

CODES = 256


@torch.library.custom_op("genstudio::relaxed_mass", mutates_args=())
def relaxed_mass_triton(
    p_RV: Tensor, row_N: Tensor, id_N: Tensor, nearest_Vk: Tensor, delta: float
) -> tuple[Tensor, Tensor]:
    """p(x) + the included mass [N] and the number of included codes [N]; p and ids contiguous."""
    mass_N = torch.empty(len(id_N), dtype=p_RV.dtype, device=p_RV.device)
    count_N = torch.empty(len(id_N), dtype=torch.int64, device=p_RV.device)
    if len(id_N):
        _relaxed_mass_kernel[(len(id_N),)](
            p_RV,
            row_N.contiguous(),
            id_N.contiguous(),
            nearest_Vk,
            mass_N,
            count_N,
            p_RV.shape[1],
            nearest_Vk.shape[1],
            *nearest_Vk.stride(),
            DELTA=delta,
            BLOCK=min(CODES, triton.next_power_of_2(max(1, nearest_Vk.shape[1]))),
        )
    return mass_N, count_N


@relaxed_mass_triton.register_fake
def _(p_RV: Tensor, row_N: Tensor, id_N: Tensor, nearest_Vk: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    del row_N, nearest_Vk, delta
    return p_RV.new_empty(len(id_N)), p_RV.new_empty(len(id_N), dtype=torch.int64)


@triton.jit  # type: ignore[untyped-decorator]
def _relaxed_mass_kernel(
    p_ptr: Any,
    row_ptr: Any,
    id_ptr: Any,
    nearest_ptr: Any,
    mass_ptr: Any,
    count_ptr: Any,
    codes: Any,
    nearest: Any,
    code_stride: Any,
    rank_stride: Any,
    DELTA: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    place = tl.program_id(0)
    law_ptr = p_ptr + tl.load(row_ptr + place) * codes
    code = tl.load(id_ptr + place)
    own = tl.load(law_ptr + code).to(tl.float64)
    bound = (DELTA - 1) * own if DELTA > 1 else own * 0 + DELTA
    mass = own * 0
    count = tl.full((), 0, tl.int64)
    first = 0
    while first < nearest and count == first:
        rank_c = first + tl.arange(0, BLOCK)
        there_c = rank_c < nearest
        near_c = tl.load(nearest_ptr + code * code_stride + rank_c * rank_stride, mask=there_c, other=0)
        p_c = tl.load(law_ptr + near_c, mask=there_c, other=0.0).to(tl.float64)
        included_c = there_c & (mass + tl.cumsum(p_c, axis=0) <= bound)
        mass += tl.sum(tl.where(included_c, p_c, 0.0), axis=0)
        count += tl.sum(included_c.to(tl.int64), axis=0)
        first += BLOCK
    tl.store(mass_ptr + place, (own + mass).to(mass_ptr.dtype.element_ty))
    tl.store(count_ptr + place, count)
