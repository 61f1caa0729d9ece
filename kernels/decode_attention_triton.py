"""The Triton twin of `decode_attention`: entries are split into spans, so that few rows fill a GPU.

A program attends with a block of one head's fed tokens to one span of its row, and skips blocks of entries
past the row's length; a second kernel weighs the spans by their sums (flash decoding). Registered as the
custom op `genstudio::decode_attention`, so that torch.compile sees through it; it has no gradient. The scale
is a constant of the compiled kernel: as an argument it would be rounded to float32. Factors of 16 bits are
multiplied as TF32, which holds them exactly; float32 is not. Imported only where Triton runs.
Shapes: R rows, H heads, n fed tokens, p past entries, m = p + n entries, D head width, S spans; i tokens,
j entries and w channels of one block.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

SPAN, ENTRIES = 256, 64
LEAST, MOST_TOKENS = 16, 64  # tokens of a block: the least that a matrix product takes


@torch.library.custom_op("genstudio::decode_attention", mutates_args=())
def decode_attention_triton(
    q_RHnD: Tensor,
    k_RHmD: Tensor,
    v_RHmD: Tensor,
    length_R: Tensor,
    open_Rp: Tensor,
    among_Rnn: Tensor,
    scale: float,
) -> Tensor:
    """[R,H,n,D], contiguous; the last axes of all arguments are."""
    rows, heads, fed, width = q_RHnD.shape
    spans = triton.cdiv(k_RHmD.shape[2], SPAN)
    exact = torch.float64 if q_RHnD.dtype == torch.float64 else torch.float32
    part_SRHnD = q_RHnD.new_empty(spans, *q_RHnD.shape, dtype=q_RHnD.dtype if spans == 1 else exact)
    sum_SRHn = q_RHnD.new_empty(spans, rows, heads, fed, dtype=exact)
    among_RnN = among_Rnn.contiguous()
    tokens = min(MOST_TOKENS, max(LEAST, triton.next_power_of_2(fed)))
    block = max(LEAST, triton.next_power_of_2(width))
    _span_kernel[(rows * heads, triton.cdiv(fed, tokens), spans)](
        q_RHnD,
        k_RHmD,
        v_RHmD,
        length_R,
        open_Rp,
        among_RnN,
        part_SRHnD,
        sum_SRHn,
        heads,
        fed,
        open_Rp.shape[1],
        width,
        *q_RHnD.stride()[:3],
        *k_RHmD.stride()[:3],
        *v_RHmD.stride()[:3],
        open_Rp.stride(0),
        among_RnN.stride(0) if len(among_RnN) > 1 else 0,
        SCALE=scale,
        SPAN=SPAN,
        TOKENS=tokens,
        ENTRIES=ENTRIES,
        WIDTH=block,
        DOUBLE=exact == torch.float64,
        PRECISION="tf32" if q_RHnD.element_size() == 2 else "ieee",
    )
    if spans == 1:
        return part_SRHnD[0]
    result_RHnD = torch.empty_like(q_RHnD, memory_format=torch.contiguous_format)
    _join_kernel[(rows * heads * fed,)](
        part_SRHnD, sum_SRHn, result_RHnD, spans, width, SPANS=triton.next_power_of_2(spans), WIDTH=block
    )
    return result_RHnD


@decode_attention_triton.register_fake
def _(
    q_RHnD: Tensor,
    k_RHmD: Tensor,
    v_RHmD: Tensor,
    length_R: Tensor,
    open_Rp: Tensor,
    among_Rnn: Tensor,
    scale: float,
) -> Tensor:
    del k_RHmD, v_RHmD, length_R, open_Rp, among_Rnn, scale
    return torch.empty_like(q_RHnD, memory_format=torch.contiguous_format)


@triton.jit  # type: ignore[untyped-decorator]
def _span_kernel(
    q_ptr: Any,
    k_ptr: Any,
    v_ptr: Any,
    length_ptr: Any,
    open_ptr: Any,
    among_ptr: Any,
    part_ptr: Any,
    sum_ptr: Any,
    heads: Any,
    fed: Any,
    past: Any,
    width: Any,
    q_row: Any,
    q_head: Any,
    q_token: Any,
    k_row: Any,
    k_head: Any,
    k_entry: Any,
    v_row: Any,
    v_head: Any,
    v_entry: Any,
    open_row: Any,
    among_row: Any,
    SCALE: tl.constexpr,
    SPAN: tl.constexpr,
    TOKENS: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
    DOUBLE: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    SUM: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    pair = tl.program_id(0).to(tl.int64)
    row, head = pair // heads, pair % heads
    token_i = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    channel_w = tl.arange(0, WIDTH)
    there_iw = (token_i < fed)[:, None] & (channel_w < width)[None, :]
    q_iw = _vectors(q_ptr + row * q_row + head * q_head, token_i, q_token, channel_w, there_iw).to(SUM)
    length = tl.minimum(tl.load(length_ptr + row), past)
    best_i = tl.full((TOKENS,), float("-inf"), SUM)
    total_i = tl.zeros((TOKENS,), SUM)
    y_iw = tl.zeros((TOKENS, WIDTH), SUM)
    for step in range(0, SPAN, ENTRIES):
        first = tl.program_id(2) * SPAN + step
        if (first < length) | ((first + ENTRIES > past) & (first < past + fed)):
            entry_j = first + tl.arange(0, ENTRIES)
            open_j = tl.load(open_ptr + row * open_row + entry_j, mask=entry_j < length, other=0)
            fed_j = entry_j - past
            among_ij = tl.load(
                among_ptr + row * among_row + token_i[:, None] * fed + fed_j[None, :],
                mask=(token_i < fed)[:, None] & ((fed_j >= 0) & (fed_j < fed))[None, :],
                other=0,
            )
            seen_ij = (open_j != 0)[None, :] | (among_ij != 0)
            there_jw = (fed_j < fed)[:, None] & (channel_w < width)[None, :]
            k_jw = _vectors(k_ptr + row * k_row + head * k_head, entry_j, k_entry, channel_w, there_jw).to(
                SUM
            )
            v_jw = _vectors(v_ptr + row * v_row + head * v_head, entry_j, v_entry, channel_w, there_jw).to(
                SUM
            )
            score_ij = SCALE * tl.dot(q_iw, tl.trans(k_jw), input_precision=PRECISION, out_dtype=SUM)
            score_ij = tl.where(seen_ij, score_ij, float("-inf"))
            higher_i = tl.maximum(best_i, tl.max(score_ij, axis=1))
            pivot_i = tl.where(higher_i == float("-inf"), 0.0, higher_i)
            weight_ij = tl.exp(score_ij - pivot_i[:, None])
            shrink_i = tl.exp(best_i - pivot_i)
            total_i = total_i * shrink_i + tl.sum(weight_ij, axis=1)
            added_iw = tl.dot(weight_ij, v_jw, input_precision=PRECISION, out_dtype=SUM)
            y_iw = y_iw * shrink_i[:, None] + added_iw
            best_i = higher_i
    positive_i = tl.where(total_i > 0, total_i, 1.0)
    sum_i = tl.where(total_i > 0, best_i + tl.log(positive_i), float("-inf"))
    place_i = (tl.program_id(2) * tl.num_programs(0) + pair) * fed + token_i
    part_iw = (y_iw / positive_i[:, None]).to(part_ptr.dtype.element_ty)
    tl.store(part_ptr + place_i[:, None] * width + channel_w[None, :], part_iw, mask=there_iw)
    tl.store(sum_ptr + place_i, sum_i, mask=token_i < fed)


@triton.jit  # type: ignore[untyped-decorator]
def _vectors(ptr: Any, place_p: Any, stride: Any, channel_w: Any, there_pw: Any) -> Any:
    """Vectors at places of a buffer, 0 where there is nothing."""
    return tl.load(ptr + place_p[:, None] * stride + channel_w[None, :], mask=there_pw, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _join_kernel(
    part_ptr: Any,
    sum_ptr: Any,
    result_ptr: Any,
    spans: Any,
    width: Any,
    SPANS: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    """Weigh the spans of one token by exp of the logarithm of their sums."""
    token, tokens = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    span_s, channel_w = tl.arange(0, SPANS), tl.arange(0, WIDTH)
    sum_s = tl.load(sum_ptr + span_s * tokens + token, mask=span_s < spans, other=float("-inf"))
    weight_s = tl.exp(sum_s - tl.max(sum_s, axis=0))
    there_w = channel_w < width
    part_sw = tl.load(
        part_ptr + (span_s[:, None] * tokens + token) * width + channel_w[None, :],
        mask=(span_s < spans)[:, None] & there_w[None, :],
        other=0.0,
    )
    y_w = tl.sum(weight_s[:, None] * part_sw, axis=0) / tl.sum(weight_s, axis=0)
    tl.store(result_ptr + token * width + channel_w, y_w.to(result_ptr.dtype.element_ty), mask=there_w)
