"""Norms without a condition."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """x / rms(x) times a weight, in float32 whatever the weights are (Llama).

    Official code rounds to the number type of the weights once more, before it multiplies.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x_RnC: Tensor) -> Tensor:
        return F.rms_norm(x_RnC, self.weight.shape, self.weight, self.eps)
