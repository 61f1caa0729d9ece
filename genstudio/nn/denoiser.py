"""The diffusion head of MAR (arXiv 2406.11838): a residual MLP that denoises one token given its condition.

It serves MAR and Hi-MAR's pivots. Officially time and condition are embedded again at every denoising step
and for every row; both are constant over a chain, so `prepare` does it once.
Shapes: N tokens, C channels of a token, W width, D width of the condition, S steps of a chain.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.nn.adaln import AdaLN, ModulatedNorm
from genstudio.nn.embed import TimeEmbed

EPS = 1e-6


class Ready(NamedTuple):
    """What is constant over a chain: its embedded times, the embedded conditions."""

    time_SW: Tensor
    cond_NW: Tensor


class Denoiser(nn.Module):
    """Predicts `outputs` channels per token: noise, then the share of the variance where that is learned."""

    def __init__(self, *, channels: int, outputs: int, condition: int, width: int, depth: int) -> None:
        super().__init__()
        self.time_embed = TimeEmbed(width)
        self.cond_embed = nn.Linear(condition, width)
        self.input_proj = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(DenoiserBlock(width) for _ in range(depth))
        self.final_adaln = AdaLN(width, width, 2)
        self.final_norm = ModulatedNorm(EPS)
        self.output_proj = nn.Linear(width, outputs)

    def prepare(self, z_ND: Tensor, time_S: Tensor) -> Ready:
        """Embed the conditions of all tokens and the times of all steps (original timesteps, 0..999)."""
        return Ready(self.time_embed(time_S), self.cond_embed(z_ND))

    def forward(self, x_NC: Tensor, step: int | slice, ready: Ready) -> Tensor:
        """The prediction [N, outputs] at one step of the chain, or at ALL where every token has its time."""
        y_NW = ready.time_SW[step] + ready.cond_NW
        h_NW = self.input_proj(x_NC)
        for block in self.blocks:
            h_NW = block(h_NW, y_NW)
        shift_NW, scale_NW = self.final_adaln(y_NW).unbind(1)
        return self.output_proj(self.final_norm(h_NW[:, None], scale_NW, shift_NW)[:, 0])


class DenoiserBlock(nn.Module):
    """h + gate MLP(LN(h) (1 + scale) + shift); the norm has parameters, unlike the final one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.adaln = AdaLN(width, width, 3)

    def forward(self, h_NW: Tensor, y_NW: Tensor) -> Tensor:
        shift_NW, scale_NW, gate_NW = self.adaln(y_NW).unbind(1)
        x_NW = self.norm(h_NW) * (1 + scale_NW) + shift_NW
        return h_NW + gate_NW * self.fc2(F.silu(self.fc1(x_NW)))
