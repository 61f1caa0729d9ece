"""The Triton twin of `modulate`: a program reads one slot, normalises and modulates it, and writes it once.

Registered as the custom op `genstudio::modulate`, so that torch.compile sees through it; it has no gradient.
Scale and shift may be slices of a larger tensor: only their last dimension is contiguous. Imported only where
Triton runs. Shapes: R rows, n slots, C width.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@torch.library.custom_op("genstudio::modulate", mutates_args=())
def modulate_triton(x_RnC: Tensor, scale_RC: Tensor, shift_RC: Tensor, eps: float) -> Tensor:
    """LN(x) (1 + scale) + shift, [R,n,C] in the dtype of x, which is contiguous."""
    result_RnC = torch.empty_like(x_RnC)
    rows, slots, width = x_RnC.shape
    if x_RnC.numel():
        _modulate_kernel[(rows * slots,)](
            x_RnC,
            scale_RC,
            shift_RC,
            result_RnC,
            slots,
            width,
            scale_RC.stride(0),
            shift_RC.stride(0),
            eps,
            DOUBLE=x_RnC.dtype == torch.float64,
            BLOCK=triton.next_power_of_2(width),
        )
    return result_RnC


@modulate_triton.register_fake
def _(x_RnC: Tensor, scale_RC: Tensor, shift_RC: Tensor, eps: float) -> Tensor:
    del scale_RC, shift_RC, eps
    return torch.empty_like(x_RnC)


@triton.jit  # type: ignore[untyped-decorator]
def _modulate_kernel(
    x_ptr: Any,
    scale_ptr: Any,
    shift_ptr: Any,
    result_ptr: Any,
    slots: Any,
    width: Any,
    scale_stride: Any,
    shift_stride: Any,
    eps: Any,
    DOUBLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    SUM: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    slot = tl.program_id(0).to(tl.int64)
    row = slot // slots
    channel_C = tl.arange(0, BLOCK)
    there_C = channel_C < width
    x_C = tl.load(x_ptr + slot * width + channel_C, mask=there_C, other=0.0).to(SUM)
    mean = tl.sum(x_C, axis=0) / width
    centred_C = tl.where(there_C, x_C - mean, 0.0)
    variance = tl.sum(centred_C * centred_C, axis=0) / width
    scale_C = tl.load(scale_ptr + row * scale_stride + channel_C, mask=there_C, other=0.0).to(SUM)
    shift_C = tl.load(shift_ptr + row * shift_stride + channel_C, mask=there_C, other=0.0).to(SUM)
    result_C = centred_C / tl.sqrt(variance + eps) * (1 + scale_C) + shift_C
    tl.store(result_ptr + slot * width + channel_C, result_C.to(result_ptr.dtype.element_ty), mask=there_C)
