"""Gaussian diffusion on a subset of its timesteps: the tables behind DDPM and DDIM chains.

MAR (arXiv 2406.11838) uses the cosine schedule and the respacing of improved diffusion (arXiv 2102.09672);
DiSA clips the retained timesteps at 950, where the chain is better conditioned. All tables are float64; the
official code casts each to float32 when it is read. T retained timesteps, ascending.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.errors import GenstudioError


def cosine_abar(total: int = 1000) -> Tensor:
    """Cumulative alphas of the cosine schedule, [total]: betas 1 - f(i+1) / f(i), at most 0.999."""
    share = torch.arange(total + 1, dtype=torch.float64) / total
    f = torch.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.cumprod(1 - (1 - f[1:] / f[:-1]).clamp(max=0.999), 0)


def timesteps(spec: str, total: int = 1000, clip: int | None = None) -> tuple[int, ...]:
    """The retained timesteps, ascending, as improved diffusion names them.

    "100": 100 spread over the whole range; "10,5,5": the range in equal sections with so many each; "ddim50":
    the smallest constant stride that gives 50, where needed of a shorter range. Timesteps above `clip` become
    `clip` and fall together, so that a clipped chain may have fewer steps than it names.
    Raises GenstudioError for more steps than there are.
    """
    if spec.startswith("ddim"):
        kept = _strided(int(spec.removeprefix("ddim")), total)
    else:
        kept = _sections([int(count) for count in spec.split(",")], total)
    return tuple(sorted({step if clip is None else min(step, clip) for step in kept}))


class Diffusion(NamedTuple):
    """A diffusion on retained timesteps: x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps."""

    time_T: Tensor
    abar_T: Tensor

    @classmethod
    def retain(cls, abar: Tensor, kept: Sequence[int]) -> "Diffusion":
        """The diffusion with cumulative alphas `abar` on the timesteps `kept`."""
        time_T = torch.tensor(kept)
        return cls(time_T, abar[time_T])

    @property
    def abar_before_T(self) -> Tensor:
        """abar of the next cleaner timestep, 1 for clean data."""
        return torch.cat([self.abar_T.new_ones(1), self.abar_T[:-1]])

    @property
    def beta_T(self) -> Tensor:
        return 1 - self.abar_T / self.abar_before_T

    @property
    def posterior_log_variance_T(self) -> Tensor:
        """log Var(x_{t-1} | x_t, x_0); entry 0, where it would be -inf, repeats entry 1."""
        variance_T = self.beta_T * (1 - self.abar_before_T) / (1 - self.abar_T)
        variance_T[0] = variance_T[1] if len(variance_T) > 1 else self.beta_T[0]
        return variance_T.log()

    @property
    def clean_weight_T(self) -> Tensor:
        """Weight of x_0 in the posterior mean of x_{t-1}."""
        return self.beta_T * self.abar_before_T.sqrt() / (1 - self.abar_T)

    @property
    def noisy_weight_T(self) -> Tensor:
        """Weight of x_t in the posterior mean of x_{t-1}."""
        return (1 - self.abar_before_T) * (1 - self.beta_T).sqrt() / (1 - self.abar_T)


def _sections(counts: list[int], total: int) -> list[int]:
    """So many timesteps per section, first and last included, rounded half to even after float addition."""
    kept, start = [], 0
    for section, count in enumerate(counts):
        size = total // len(counts) + (section < total % len(counts))
        _check(count <= size, count, size)
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += stride
        start += size
    return kept


def _strided(count: int, total: int) -> list[int]:
    """The longest prefix of the range that a constant stride cuts into `count` timesteps."""
    _check(0 < count <= total, count, total)
    fits = (range(0, end, stride) for end in range(total, 0, -1) for stride in range(1, end + 1))
    return list(next(kept for kept in fits if len(kept) == count))


def _check(fine: bool, count: int, size: int) -> None:
    if not fine:
        message = f"{count} steps cannot be taken from {size} timesteps."
        raise GenstudioError(message, f"Give a count from 1 to {size}.")
