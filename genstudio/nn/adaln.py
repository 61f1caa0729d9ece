"""Adaptive layer norm: the condition gives every block its shifts, scales and gates.

The order of the chunks differs between methods and is a value here, so that tensors stay as released.
Shapes: R rows, n slots, C width.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

GATES_FIRST = ("gate1", "gate2", "scale1", "scale2", "shift1", "shift2")


class Modulation(NamedTuple):
    """What one block takes from the condition, each [R,1,C]."""

    gate1: Tensor
    gate2: Tensor
    scale1: Tensor
    scale2: Tensor
    shift1: Tensor
    shift2: Tensor

    @classmethod
    def unpack(cls, rows_R6C: Tensor, order: tuple[str, ...]) -> "Modulation":
        """Name the six chunks by the method's order."""
        return cls(**dict(zip(order, rows_R6C.unsqueeze(2).unbind(1), strict=True)))


class AdaLN(nn.Module):
    """Linear(SiLU(condition)), cut into `chunks` vectors of the block's width."""

    def __init__(self, condition: int, width: int, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks
        self.linear = nn.Linear(condition, chunks * width)

    def forward(self, cond_RC: Tensor) -> Tensor:
        """[R, condition] to [R, chunks, C]."""
        return self.linear(F.silu(cond_RC)).unflatten(-1, (self.chunks, -1))


def modulate(x_RnC: Tensor, scale_R1C: Tensor, shift_R1C: Tensor, eps: float) -> Tensor:
    """LN(x) (1 + scale) + shift; the norm has no parameters of its own."""
    return F.layer_norm(x_RnC, x_RnC.shape[-1:], eps=eps) * (1 + scale_R1C) + shift_R1C
