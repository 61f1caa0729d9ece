"""Chains: every diffusion and flow sampler as one table of affine steps.

A row makes x' = a x + b y + c y_before + exp(low + f (high - low)) temperature noise, where y is what the
network predicts (noise for diffusions, velocity for flows), y_before that of the row before, and f the share
between two log standard deviations, where it is learned. `solve` runs a chain; methods differ in its numbers
alone. Formulas that official code applies in several float32 steps are composed in float64 here.
S rows, in the order of sampling.
"""

import math
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genstudio.samplers.diffusion import Diffusion, cosine_abar, timesteps
from genstudio.samplers.steps import DDIM, DDPM, ChainRule


class Chain(NamedTuple):
    """Float64 columns [S]: the time that the network is given, the weights, log standard deviations.

    low = high where the network does not choose the noise; -inf means no noise. The last row never adds any.
    """

    time_S: Tensor
    a_S: Tensor
    b_S: Tensor
    c_S: Tensor
    low_S: Tensor
    high_S: Tensor

    @property
    def steps(self) -> int:
        """Calls of the network."""
        return len(self.time_S)


@cache
def chain_of(rule: ChainRule, steps: int) -> Chain:
    """The chain of a rule with so many steps, built once. Equal timesteps under a clip fall together."""
    match rule:
        case DDPM(clip):
            return ddpm(Diffusion.retain(cosine_abar(), timesteps(str(steps), clip=clip)), "learned")
        case DDIM(clip):
            return ddim(Diffusion.retain(cosine_abar(), timesteps(f"ddim{steps}", clip=clip)))


def ddpm(diffusion: Diffusion, variance: Literal["learned", "large"]) -> Chain:
    """Ancestral sampling (arXiv 2006.11239, eq. 7) with y = eps and no clipping of x_0.

    "learned": between the posterior variance and beta (MAR, Hi-MAR's pivots). "large": beta, but posterior
    variance at timestep 0 (Hi-MAR's dense map).
    """
    abar_T = diffusion.abar_T
    a_T = diffusion.clean_weight_T / abar_T.sqrt() + diffusion.noisy_weight_T
    b_T = -diffusion.clean_weight_T * (1 / abar_T - 1).sqrt()
    low_T, high_T = diffusion.posterior_log_variance_T / 2, diffusion.beta_T.log() / 2
    if variance == "large":
        low_T = high_T = torch.cat([low_T[:1], high_T[1:]])
    columns = (diffusion.time_T.double(), a_T, b_T, torch.zeros_like(a_T), low_T, high_T)
    return Chain(*(column.flip(0) for column in columns))


def ddim(diffusion: Diffusion) -> Chain:
    """DDIM with eta = 0 (arXiv 2010.02502, eq. 12) and y = eps."""
    abar = torch.cat([diffusion.abar_T.flip(0), torch.ones(1, dtype=torch.float64)])
    return _noise_free(diffusion.time_T.double().flip(0), abar.sqrt())


def dpm_solver(abar_T: Tensor, steps: int, first: float, total: int = 1000) -> Chain:
    """DPM-Solver of order 1 (arXiv 2206.00927) over times uniform from `first` to 1/T, with y = eps.

    At order 1 DPM-Solver and DPM-Solver++ are the same map, DDIM's; what differs is the schedule: log alpha
    is piecewise linear through T points spread up to `first` (as in DiSA), the network gets total * time.
    """
    count = len(abar_T)
    grid = torch.linspace(first, 1 / count, steps + 1, dtype=torch.float64)
    known = first * np.arange(1, count + 1) / count
    alpha = torch.from_numpy(np.interp(grid.numpy(), known, abar_T.log().numpy() / 2)).exp()
    return _noise_free(total * grid[:-1], alpha)


def euler(grid: Tensor) -> Chain:
    """x' = x + dt y over a grid of S + 1 times, y = dx/dt (FlowAR, FlexTok)."""
    return _flow(grid[:-1], torch.ones_like(grid[:-1]), grid.diff())


def adams_bashforth(grid: Tensor) -> Chain:
    """x' = x + dt (1.5 y - 0.5 y_before), the first step Euler's, y = dx/dt (D-AR).

    The weights are those of even steps whatever the grid. A preview after k steps is the grid's first k times
    and its end.
    """
    dt_S = grid.diff()
    weight_S = torch.full_like(dt_S, 1.5)
    weight_S[0] = 1.0
    return _flow(grid[:-1], torch.ones_like(dt_S), weight_S * dt_S, (1 - weight_S) * dt_S)


def xar_sde(steps: int) -> Chain:
    """xAR's Euler-Maruyama (arXiv 2502.20388): times 1 to 0.04, then 0; y = noise - data; diffusion 2 t.

    The score (-(1-t) y - x) / t turns the drift into (2 - t) y + x.
    """
    start = torch.linspace(1, 0.04, steps, dtype=torch.float64)
    dt_S = torch.cat([start, torch.zeros(1, dtype=torch.float64)]).diff()
    return _flow(start, 1 + dt_S, (2 - start) * dt_S, std_S=(2 * start * dt_S.abs()).sqrt())


def arflow_sde(steps: int) -> Chain:
    """ARFlow's Euler-Maruyama (arXiv 2501.16085): times 0 to 0.96, a mean step of 0.04; y = data - noise.

    The score (t y - x) / (1-t) with diffusion 1 - t turns the drift into (1 + t) y - x.
    """
    start = torch.linspace(0, 0.96, steps, dtype=torch.float64)
    dt_S = torch.full_like(start, 0.96 / max(steps - 1, 1))
    dt_S[-1] = 0.04
    return _flow(start, 1 - dt_S, (1 + start) * dt_S, std_S=(2 * (1 - start) * dt_S).sqrt())


def uniform_grid(steps: int) -> Tensor:
    """1 (noise) to 0 (data) in equal steps (FlexTok)."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def flowar_grid(steps: int) -> Tensor:
    """FlowAR's times (arXiv 2412.15205): about three times finer below 0.25, an odd count loses one step.

    50 steps are uniform, as officially.
    """
    if steps == 50:
        return uniform_grid(steps)
    half = steps // 2
    coarse = torch.linspace(1, 0.3, half, dtype=torch.float64)
    return torch.cat([coarse, torch.linspace(0.25, 0, half + 1, dtype=torch.float64)])


def shifted_grid(steps: int, shift: float) -> Tensor:
    """0 (noise) to 1 (data), t / (t + shift (1 - t)) at equal steps of t (D-AR: shift 2)."""
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return t / (t + shift * (1 - t))


def _noise_free(time_S: Tensor, alpha: Tensor) -> Chain:
    """From one noise level to the next along the probability flow: x = alpha x_0 + sigma y, alpha [S + 1]."""
    sigma = (1 - alpha**2).sqrt()
    a_S = alpha[1:] / alpha[:-1]
    return _flow(time_S, a_S, sigma[1:] - a_S * sigma[:-1])


def _flow(
    time_S: Tensor, a_S: Tensor, b_S: Tensor, c_S: Tensor | None = None, std_S: Tensor | None = None
) -> Chain:
    """A chain whose noise, if any, the network has no say in; none in the last row."""
    low_S = torch.full_like(a_S, -math.inf)
    if std_S is not None:
        low_S[:-1] = std_S[:-1].log()
    return Chain(time_S, a_S, b_S, torch.zeros_like(a_S) if c_S is None else c_S, low_S, low_S)
