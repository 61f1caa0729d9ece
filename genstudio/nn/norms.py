"""Norms without a condition."""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """x / rms(x) in float32 whatever the weights are, cast back, then times the weight (Llama's order)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x_RnC: Tensor) -> Tensor:
        wide_RnC = x_RnC.to(torch.promote_types(x_RnC.dtype, torch.float32))
        rms_Rn1 = wide_RnC.square().mean(-1, keepdim=True).add(self.eps).rsqrt()
        return (wide_RnC * rms_Rn1).to(x_RnC.dtype) * self.weight
