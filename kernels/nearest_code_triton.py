"""The Triton twin of `nearest_code`: a program holds a block of vectors and runs over the codebook.

Registered as the custom op `genstudio::nearest_code`, so that torch.compile sees through it. Products are
float32 without TF32: a distance that is off by a thousandth chooses other codes. Imported only where Triton
runs.
Shapes: N vectors, V codes, C width; r vectors, c codes and w channels of one block.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .nearest_code import sum_dtype

ROWS, CODES, WIDTH = 64, 64, 64
LEAST_WIDTH = 16  # the least that a matrix product takes


@torch.library.custom_op("genstudio::nearest_code", mutates_args=())
def nearest_code_triton(z_NC: Tensor, table_VC: Tensor) -> Tensor:
    """Index [N] (int64) of the nearest code; both arguments contiguous."""
    rows, width = z_NC.shape
    index_N = torch.empty(rows, dtype=torch.int64, device=z_NC.device)
    if rows:
        block = min(WIDTH, max(LEAST_WIDTH, triton.next_power_of_2(width)))
        _nearest_code_kernel[(triton.cdiv(rows, ROWS),)](
            z_NC,
            table_VC,
            index_N,
            rows,
            len(table_VC),
            width,
            DOUBLE=sum_dtype(z_NC) == torch.float64,
            ROWS=ROWS,
            CODES=CODES,
            WIDTH=block,
        )
    return index_N


@nearest_code_triton.register_fake
def _(z_NC: Tensor, table_VC: Tensor) -> Tensor:
    del table_VC
    return z_NC.new_empty(len(z_NC), dtype=torch.int64)


@triton.jit  # type: ignore[untyped-decorator]
def _nearest_code_kernel(
    z_ptr: Any,
    table_ptr: Any,
    index_ptr: Any,
    rows: Any,
    codes: Any,
    width: Any,
    DOUBLE: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    SUM: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    row_r = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    best_r = tl.full((ROWS,), float("inf"), SUM)
    index_r = tl.zeros((ROWS,), tl.int32)
    for first in range(0, codes, CODES):
        code_c = first + tl.arange(0, CODES)
        product_rc = tl.zeros((ROWS, CODES), SUM)
        norm_c = tl.zeros((CODES,), SUM)
        for start in range(0, width, WIDTH):
            channel_w = start + tl.arange(0, WIDTH)
            there_w = channel_w < width
            z_rw = tl.load(
                z_ptr + row_r[:, None] * width + channel_w[None, :],
                mask=(row_r[:, None] < rows) & there_w[None, :],
                other=0.0,
            ).to(SUM)
            table_cw = tl.load(
                table_ptr + code_c[:, None] * width + channel_w[None, :],
                mask=(code_c[:, None] < codes) & there_w[None, :],
                other=0.0,
            ).to(SUM)
            product_rc = tl.dot(z_rw, tl.trans(table_cw), product_rc, input_precision="ieee", out_dtype=SUM)
            norm_c += tl.sum(table_cw * table_cw, axis=1)
        distance_rc = tl.where(code_c[None, :] < codes, 0.5 * norm_c[None, :] - product_rc, float("inf"))
        least_r, place_r = tl.min(
            distance_rc, axis=1, return_indices=True, return_indices_tie_break_left=True
        )
        closer_r = least_r < best_r
        best_r = tl.where(closer_r, least_r, best_r)
        index_r = tl.where(closer_r, first + place_r, index_r)
    tl.store(index_ptr + row_r, index_r.to(tl.int64), mask=row_r < rows)
