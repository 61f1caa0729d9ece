"""Feed-forward layers of the transformer blocks."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.nn.linear import Linear


class MLP(nn.Module):
    """Two linear layers with a GELU between them: its tanh approximation, or the exact one ("none")."""

    def __init__(self, width: int, hidden: int, approximate: Literal["tanh", "none"] = "tanh") -> None:
        super().__init__()
        self.approximate = approximate
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x_RnC: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x_RnC), approximate=self.approximate))


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x) without biases (Llama; arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = Linear(width, hidden, bias=False)
        self.up = Linear(width, hidden, bias=False)
        self.down = Linear(hidden, width, bias=False)

    def forward(self, x_RnC: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x_RnC)) * self.up(x_RnC))
