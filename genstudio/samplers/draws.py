"""Draws: every random number of a run, addressed by picture and place.

A value depends on (picture seed, use, place in the picture, element) alone, never on the batch, the order of
calls or the number of processes. Categories are picked by an exponential race, argmax(p / e) with Exp(1)
noise e keyed by category: a small change of p changes few picks, and speculation that looks at a place twice
sees the same noise twice. Official code draws from one generator per batch; `RecordedDraws` replays that.
Shapes: R rows, B pictures, K place numbers, E elements of one place, V categories.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

import torch
from genstudio_kernels.keyed_hash import fold, keyed_bits
from genstudio_kernels.select import Kernels, chosen
from torch import Tensor

VERSION = 1  # goes into a picture's metadata; any change of a value below is a new version
ORIGIN = 0x9E3779B97F4A7C15 - 2**64  # state of the empty key: any constant that `fold` does not map to itself
CPU_PIECE, GPU_PIECE = 1 << 16, 1 << 20  # categories whose noise is held at one time: per thread, in all


class Use(IntEnum):
    """What a number is drawn for. The numbers are part of every key and therefore frozen."""

    TOKEN = 1
    SMOOTH = 2
    ORDER = 3
    START = 4
    STEP = 5
    ACCEPT = 6
    RESIDUAL = 7
    DRAFT = 8
    PROPOSAL = 9
    CONFIDENCE = 10
    PIXELS = 11
    POSTERIOR = 12
    LABEL = 13
    DROP = 32
    TIME = 33
    NOISE = 34
    MASK = 35
    FLIP = 36
    BATCH = 37
    INIT = 38
    CHECK = 39


class At(NamedTuple):
    """Places: `seed_R` the picture seed of every row, `index_RK` its place numbers (int64, on the device).

    Rows are asked sample by sample, places ascending: that is what recorded row queues hold.
    """

    seed_R: Tensor
    index_RK: Tensor

    @staticmethod
    def grid(seed_B: Tensor, index_nK: Tensor) -> "At":
        """The same n places in each of B pictures, R = B * n, sample-major."""
        pictures, places = len(seed_B), len(index_nK)
        return At(seed_B.repeat_interleave(places), index_nK.repeat(pictures, 1))

    def within(self, number: int) -> "At":
        """The same places with one more place number: a step, a round."""
        number_R1 = torch.full_like(self.seed_R, number)[:, None]
        return At(self.seed_R, torch.cat([self.index_RK, number_R1], dim=1))


class Draws(Protocol):
    """A source of random numbers; every method is a function of its arguments for `KeyedDraws`."""

    def uniform(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform numbers in the open interval (0, 1), float32 [R, *shape]."""
        ...

    def normal(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        """Standard normal numbers, float32 [R, *shape]."""
        ...

    def exponential(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        """Exp(1) numbers above 0, float32 [R, *shape]."""
        ...

    def below(self, use: Use, at: At, high: int) -> Tensor:
        """Uniform integers in [0, high), int64 [R]."""
        ...

    def order(self, use: Use, seed_B: Tensor, n: int) -> Tensor:
        """One uniform permutation of 0..n-1 per picture, int64 [B, n]."""
        ...

    def pick(self, use: Use, at: At, p_RV: Tensor) -> Tensor:
        """One category per row with probability p (float32 or float64, need not sum to 1), int64 [R]."""
        ...

    def spend(self, use: Use, count: int | Tensor) -> None:
        """Say how many values were really used, where outcomes decide that; only recorded draws care, so that
        live ones do not wait for a count that lies on the device."""
        ...


@dataclass(frozen=True, slots=True)
class KeyedDraws:
    """Stateless draws: counter-based bits per (seed, use, place, element), shaped into distributions.

    Uniforms are bit-equal on every device. Normals and exponentials are computed in float64, so that devices
    agree to the last bits of float32. `kernels` forces a twin of the hash; None lets the device decide.
    """

    kernels: Kernels | None = None

    def uniform(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        bits_RE = self._bits(use, at, math.prod(shape))
        return _share(bits_RE, 23, torch.float32).view(-1, *shape)

    def normal(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        """Box-Muller: radius from the upper 40 bits (|z| < 7.6), angle from the lower 24."""
        bits_RE = self._bits(use, at, math.prod(shape))
        radius_RE = _share(bits_RE, 40).log_().mul_(-2).sqrt_()
        angle_RE = _share(bits_RE << 40, 24).mul_(2 * math.pi)
        return radius_RE.mul_(angle_RE.cos_()).float().view(-1, *shape)

    def exponential(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return _exponential(self._bits(use, at, math.prod(shape))).float().view(-1, *shape)

    def below(self, use: Use, at: At, high: int) -> Tensor:
        """63 bits modulo `high`: the bias is below high / 2^63."""
        return _shift(self._bits(use, at, 1)[:, 0], 1) % high

    def order(self, use: Use, seed_B: Tensor, n: int) -> Tensor:
        """Sorts random bits; n is the place number, so that two orders of one picture are independent."""
        index_B1 = torch.full_like(seed_B, n)[:, None]
        return self._bits(use, At(seed_B, index_B1), n).argsort(-1)

    def pick(self, use: Use, at: At, p_RV: Tensor) -> Tensor:
        """argmax(p / e). A row without a positive entry has no meaning and yields category 0."""
        state_R = _state(use, at)
        piece = GPU_PIECE if p_RV.is_cuda else CPU_PIECE * torch.get_num_threads()
        rows = max(1, piece // p_RV.shape[-1])
        pieces = zip(torch.split(p_RV, rows), torch.split(state_R, rows), strict=True)
        return torch.cat([self._race(p, state) for p, state in pieces])

    def spend(self, use: Use, count: int | Tensor) -> None:
        del use, count

    def _race(self, p_RV: Tensor, state_R: Tensor) -> Tensor:
        if p_RV.device.type == "cpu" and (kept_RV := p_RV > 0).float().mean() < 0.5:
            return _sparse_race(p_RV, kept_RV, state_R)
        noise_RV = _exponential(keyed_bits(state_R, p_RV.shape[-1], self._twin(state_R)))
        return (p_RV / noise_RV).argmax(-1)

    def _bits(self, use: Use, at: At, elements: int) -> Tensor:
        return keyed_bits(_state(use, at), elements, self._twin(at.seed_R))

    def _twin(self, tensor: Tensor) -> Kernels:
        return chosen(tensor.device.type, self.kernels)


def _sparse_race(p_RV: Tensor, kept_RV: Tensor, state_R: Tensor) -> Tensor:
    """The same race with noise for the kept categories alone: filters leave few of V, and this is the CPU."""
    row_N, category_N = kept_RV.nonzero(as_tuple=True)
    noise_N = _exponential(fold(state_R[row_N], category_N))
    score_RV = torch.zeros_like(p_RV, dtype=torch.float64)
    score_RV[row_N, category_N] = p_RV[row_N, category_N] / noise_N
    return score_RV.argmax(-1)


def _state(use: Use, at: At) -> Tensor:
    """The key of every row, folded: seed, use with the count of place numbers, place numbers."""
    count = at.index_RK.shape[-1]
    state_R = fold(fold(torch.full_like(at.seed_R, ORIGIN), at.seed_R), use | count << 32)
    for k in range(count):
        state_R = fold(state_R, at.index_RK[:, k])
    return state_R


def _exponential(bits: Tensor) -> Tensor:
    """-log1p(-v) in float64, v from 40 bits: with 23 a category of 1e-8 would win 65 times too rarely."""
    return _share(bits, 40).neg_().log1p_().neg_()


def _share(bits: Tensor, count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The upper `count` bits as a number (bits + 1/2) / 2^count, strictly inside (0, 1)."""
    return _shift(bits, 64 - count).to(dtype).add_(0.5).mul_(2.0**-count)


def _shift(bits: Tensor, count: int) -> Tensor:
    """Logical right shift (torch's copies the sign)."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)
