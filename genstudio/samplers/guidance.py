"""Classifier-free guidance as a value: one convention inside, u + w (c - u), whatever a paper writes.

`cfg` is always the number that the paper prints; the ramp converts it into the weight w. Progress is the
order's own variable in [0, 1] (scale s/(K-1), token i/(N-1), masked share); decoded counts finished codes.
No torch here: recipes are read by commands that must start fast.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Constant:
    """w = cfg (LlamaGen, NAR)."""

    kind: Literal["constant"] = "constant"

    def weight(self, cfg: float, progress: float) -> float:
        del progress
        return cfg


@dataclass(frozen=True, slots=True)
class Linear:
    """w = 1 + (cfg - 1) p (MAR, FlowAR, xAR)."""

    kind: Literal["linear"] = "linear"

    def weight(self, cfg: float, progress: float) -> float:
        return 1 + (cfg - 1) * progress


@dataclass(frozen=True, slots=True)
class Plus:
    """w = 1 + cfg p: the paper writes (1 + t) c - t u with t = cfg p (VAR section 5, NFIG)."""

    kind: Literal["plus"] = "plus"

    def weight(self, cfg: float, progress: float) -> float:
        return 1 + cfg * progress


@dataclass(frozen=True, slots=True)
class Half:
    """w = 1 + (cfg - 1) min(1, 2p): the full weight is reached half-way (Token-Shuffle)."""

    kind: Literal["half"] = "half"

    def weight(self, cfg: float, progress: float) -> float:
        return 1 + (cfg - 1) * min(1.0, 2 * progress)


@dataclass(frozen=True, slots=True)
class Between:
    """w = first + (cfg - first) p (D-AR)."""

    first: float
    kind: Literal["between"] = "between"

    def weight(self, cfg: float, progress: float) -> float:
        return self.first + (cfg - self.first) * progress


Ramp = Constant | Linear | Plus | Half | Between


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How strongly the condition is followed, and when.

    `until` ends guidance once that many codes are decoded (LlamaGen's interval); `below_t` keeps it to flow
    times up to that value (FlowAR's interval). Outside of its interval the weight is 1: the condition alone.
    """

    cfg: float
    ramp: Ramp = Constant()
    until: int | None = None
    below_t: float | None = None

    def weight(self, progress: float, decoded: int = 0, t: float | None = None) -> float:
        """The weight w of u + w (c - u); exactly 1.0 means that the null rows have no say."""
        if self.until is not None and decoded >= self.until:
            return 1.0
        if self.below_t is not None and t is not None and t > self.below_t:
            return 1.0
        return self.ramp.weight(self.cfg, progress)
