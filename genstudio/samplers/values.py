"""The values that orders, networks, walks and tokenizers hand to each other (no behaviour of any method).

Shapes: B pictures; R rows of one network call (B, or 2B = [given B | null B]); T condition slots; n slots
fed in one call; L codes of a picture; D width; H heads; V vocabulary; C channels of a code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch.nn.functional as F
from torch import Tensor

Kind = Literal["ids", "scales", "bits", "latents"]
Trace = Callable[[str, Tensor], None]
ALL = slice(None)


class Codes(NamedTuple):
    """Codes of B pictures: `ids` one [B,L]; `scales` one [B,p*p] per scale; `latents` one [B,C,h,w].

    `known_BL` says which of them are known, in the order of `data`; without it all are. `grid` are the
    rows and columns of ids that stand for cells; without it they are a square.
    """

    kind: Kind
    data: tuple[Tensor, ...]
    known_BL: Tensor | None = None
    grid: tuple[int, int] | None = None


class Given(NamedTuple):
    """What a picture is made from: a label, text features or ids with open slots, codes known before
    (`prefix`: given frames, the kept places of an edit), which keep their places. `negative` and its open
    slots are text in place of what a network says where nothing is asked for."""

    label_B: Tensor | None = None
    text: Tensor | None = None
    open_BT: Tensor | None = None
    prefix: Codes | None = None
    negative: Tensor | None = None
    negative_BT: Tensor | None = None


class Unit(NamedTuple):
    """One step of an order: slots fed, codes that exist afterwards, and the ramp variable in [0, 1]."""

    fed: range
    made: range
    progress: float


class Order(Protocol):
    """Units in the order of generation. Feeding them one by one equals one pass under `mask()`; the first
    `kept` slots are seen by later units."""

    @property
    def slots(self) -> int: ...
    @property
    def kept(self) -> int: ...
    @property
    def codes(self) -> int: ...
    def units(self) -> tuple[Unit, ...]: ...
    def mask(self) -> "Mask": ...


@dataclass(frozen=True, slots=True)
class Full:
    """Every fed slot sees every fed slot."""


@dataclass(frozen=True, slots=True)
class Causal:
    """A fed slot sees itself and the ones fed before it."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Fed slots come in blocks of these sizes; a block sees itself and the blocks before it."""

    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Fed slots form a tree: `parents[i]` < i is the parent of slot i, -1 a root. A slot sees its
    ancestors."""

    parents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dense:
    """Any mask [n,n] or [R,n,n], True = may attend."""

    allow: Tensor


Mask = Full | Causal | Blocks | Tree | Dense


class Feed(NamedTuple):
    """Where the fed slots stand: `at_Rn` slot numbers (R may be 1); the mask among the FED slots alone (all
    committed cache entries are visible); `open_Rn` False = padding, which only itself may see."""

    at_Rn: Tensor
    mask: Mask = Full()
    open_Rn: Tensor | None = None


class Cond(NamedTuple):
    """Everything that depends on the condition alone, computed once per picture.

    `start_RTD` are the embedded condition slots; `rows` are tensors [R, ...] that belong to the method
    (adaLN rows, cross-attention keys and values); nothing of it is recomputed per step.
    """

    start_RTD: Tensor
    rows: tuple[Tensor, ...] = ()
    open_RT: Tensor | None = None

    def spread(self, x_B: Tensor) -> Tensor:
        """What every picture is fed, once more for its null row where there are null rows."""
        rows, pictures = self.start_RTD.shape[0], x_B.shape[0]
        return x_B if rows == pictures else x_B.repeat(rows // pictures, *[1] * (x_B.ndim - 1))

    def open_through(self, slots: int) -> Tensor | None:
        """Which of the first `slots` slots are open, [R, slots]: codes behind the condition always are."""
        if self.open_RT is None:
            return None
        return F.pad(self.open_RT, (0, slots - self.open_RT.shape[1]), value=True)

    def take(self, rows: Tensor | slice) -> "Cond":
        """The same condition for a subset (or repetition) of rows."""
        open_RT = None if self.open_RT is None else self.open_RT[rows]
        return Cond(self.start_RTD[rows], tuple(tensor[rows] for tensor in self.rows), open_RT)
