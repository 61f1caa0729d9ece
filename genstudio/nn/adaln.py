"""Adaptive layer norm: the condition gives every block its shifts, scales and gates.

The order of the chunks differs between methods and is a value here, so that tensors stay as released.
Shapes: R rows, n slots, C width.
"""

from typing import NamedTuple

import torch.nn.functional as F
from genstudio_kernels.modulate import modulate
from torch import Tensor, nn

from genstudio.nn.linear import Linear
from genstudio.nn.twins import Twin

GATES_FIRST = ("gate1", "gate2", "scale1", "scale2", "shift1", "shift2")


class Modulation(NamedTuple):
    """What one block takes from the condition, each [R,C]."""

    gate1: Tensor
    gate2: Tensor
    scale1: Tensor
    scale2: Tensor
    shift1: Tensor
    shift2: Tensor

    @classmethod
    def unpack(cls, rows_R6C: Tensor, order: tuple[str, ...]) -> "Modulation":
        """Name the six chunks by the method's order."""
        return cls(**dict(zip(order, rows_R6C.unbind(1), strict=True)))


class AdaLN(nn.Module):
    """Linear(SiLU(condition)), cut into `chunks` vectors of the block's width."""

    def __init__(self, condition: int, width: int, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks
        self.linear = Linear(condition, chunks * width)

    def forward(self, cond_RC: Tensor) -> Tensor:
        """[R, condition] to [R, chunks, C]."""
        return self.linear(F.silu(cond_RC)).unflatten(-1, (self.chunks, -1))


class ModulatedNorm(Twin):
    """LN(x) (1 + scale) + shift; the norm has no parameters of its own."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x_RnC: Tensor, scale_RC: Tensor, shift_RC: Tensor) -> Tensor:
        """[R,n,C] with one scale and shift for all slots of a row."""
        return modulate(x_RnC, scale_RC, shift_RC, self.eps, self.kernels)
