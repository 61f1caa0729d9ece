"""Embeddings of numbers: sinusoids and the small MLP that diffusion and flow networks put behind them.

Shapes: S numbers, E width of the sinusoid, W width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FREQUENCIES = 256


def sinusoid(t_S: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """[cos | sin] of t at width/2 frequencies from 1 down to nearly 1/max_period, float32 [S, width]."""
    half = width // 2
    exponent_h = torch.arange(half, dtype=torch.float32, device=t_S.device) / half
    angle_Sh = t_S.float()[:, None] * torch.exp(-math.log(max_period) * exponent_h)
    return torch.cat([angle_Sh.cos(), angle_Sh.sin()], dim=-1)


class TimeEmbed(nn.Module):
    """Linear, SiLU, linear on the sinusoid of a time (ADM, DiT, MAR, FlowAR, xAR, ARFlow)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(FREQUENCIES, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, t_S: Tensor) -> Tensor:
        """[S] to [S, width]; how time is scaled is the caller's business."""
        wave_SE = sinusoid(t_S, FREQUENCIES).to(self.fc1.weight.dtype)
        return self.fc2(F.silu(self.fc1(wave_SE)))
