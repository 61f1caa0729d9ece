"""Adaptive layer norm in one pass: LN(x) (1 + scale) + shift, the norm without parameters of its own.

Sums are float32 (float64 where x is) and the result has the dtype of x. The Triton twin rounds to it once,
the torch one after every operation: in bfloat16 they differ by some last bits.
Shapes: R rows, n slots, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .select import Kernels


def modulate(x_RnC: Tensor, scale_RC: Tensor, shift_RC: Tensor, eps: float, kernels: Kernels) -> Tensor:
    """[R,n,C]; every row has a scale and a shift for all of its slots."""
    if kernels == "triton":
        from .modulate_triton import modulate_triton

        return modulate_triton(x_RnC.contiguous(), scale_RC, shift_RC, eps)
    return modulate_torch(x_RnC, scale_RC, shift_RC, eps)


def modulate_torch(x_RnC: Tensor, scale_RC: Tensor, shift_RC: Tensor, eps: float) -> Tensor:
    """The torch twin of `modulate`; it has gradients."""
    normed_RnC = F.layer_norm(x_RnC, x_RnC.shape[-1:], eps=eps)
    return torch.addcmul(shift_RC[:, None], normed_RnC, 1 + scale_RC[:, None])
