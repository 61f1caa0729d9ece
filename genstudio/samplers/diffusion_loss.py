"""The loss of a diffusion with learned variance (improved diffusion, arXiv 2102.09672), as MAR trains by it.

The noise learns by its squared error; the variance by the variational bound, in bits, which the noise is
detached from. At timestep 0 the bound is the likelihood of levels 1/127.5 apart, a choice made for pixels.
Shapes: N tokens, C channels, T timesteps.
"""

import math
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.samplers.diffusion import Diffusion

LEVEL = 1 / 255  # half the distance of two levels
LEAST = 1e-12  # of a likelihood


class Parts(NamedTuple):
    """Both losses of every token, [N]."""

    mse_N: Tensor
    bound_N: Tensor


class DiffusionLoss:
    """Noised tokens and losses, for one diffusion on one device."""

    def __init__(self, diffusion: Diffusion, device: torch.device | str = "cpu") -> None:
        self.diffusion, self.device = diffusion, device

    def noised(self, clean_NC: Tensor, t_N: Tensor, noise_NC: Tensor) -> Tensor:
        """x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise, t counting retained timesteps."""
        signal_N1, spread_N1 = self._columns[t_N, :2, None].unbind(1)
        return signal_N1 * clean_NC + spread_N1 * noise_NC

    def losses(self, said_N2C: Tensor, clean_NC: Tensor, t_N: Tensor, noise_NC: Tensor) -> Parts:
        """Of a network's prediction for `noised(clean, t, noise)`: noise, then shares of the variance."""
        eps_NC, share_NC = said_N2C.float().chunk(2, dim=-1)
        mse_N = (eps_NC - noise_NC).square().mean(-1)
        bound_N = self._bound(eps_NC.detach(), (share_NC + 1) / 2, clean_NC, t_N, noise_NC)
        return Parts(mse_N, bound_N)

    def _bound(
        self, eps_NC: Tensor, share_NC: Tensor, clean_NC: Tensor, t_N: Tensor, noise_NC: Tensor
    ) -> Tensor:
        """Bits a number between the posterior of x_{t-1} and the network's; at 0 the likelihood of x_0."""
        signal, spread, clean_weight, low, high = self._columns[t_N, :, None].unbind(1)
        # The means differ by x_0's weight times the error of x_0 that the noise implies.
        shift_NC = clean_weight * spread / signal * (noise_NC - eps_NC)
        logvar_NC = low + share_NC * (high - low)
        ratio_NC = low - logvar_NC
        divergence_NC = 0.5 * (ratio_NC.exp() - 1 - ratio_NC + shift_NC.square() * (-logvar_NC).exp())
        mean_NC = clean_NC + spread / signal * (noise_NC - eps_NC)
        unlikely_NC = -_log_level(clean_NC, mean_NC, logvar_NC / 2)
        bits_NC = torch.where((t_N == 0)[:, None], unlikely_NC, divergence_NC) / math.log(2)
        return bits_NC.mean(-1)

    @cached_property
    def _columns(self) -> Tensor:
        """float32 [T,5]: weights of clean token and noise, weight of x_0 in the posterior mean, and the log
        variances that the network chooses between."""
        diffusion = self.diffusion
        columns = (
            diffusion.abar_T.sqrt(),
            (1 - diffusion.abar_T).sqrt(),
            diffusion.clean_weight_T,
            diffusion.posterior_log_variance_T,
            diffusion.beta_T.log(),
        )
        return torch.stack(columns, dim=1).float().to(self.device)


def _log_level(x_NC: Tensor, mean_NC: Tensor, logstd_NC: Tensor) -> Tensor:
    """log P of a level under a normal distribution; the outermost levels reach to infinity."""
    inverse_NC = (-logstd_NC).exp()
    above_NC = _cumulative((x_NC - mean_NC + LEVEL) * inverse_NC)
    below_NC = _cumulative((x_NC - mean_NC - LEVEL) * inverse_NC)
    inner_NC = (above_NC - below_NC).clamp(min=LEAST)
    outer_NC = torch.where(x_NC < 0, above_NC, 1 - below_NC).clamp(min=LEAST)
    return torch.where(x_NC.abs() > 0.999, outer_NC, inner_NC).log()


def _cumulative(x: Tensor) -> Tensor:
    """The standard normal distribution function in its tanh approximation, as officially."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
