"""Orders: in which units the codes of a picture come to be, and the mask of the teacher-forced pass."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import cos, floor, pi, prod

import torch
from torch import Tensor

from genstudio.samplers.steps import check_walk_steps
from genstudio.samplers.values import Blocks, Causal, Full, Unit


@dataclass(frozen=True, slots=True)
class ScaleOrder:
    """Whole code maps, coarse to fine (VAR, NFIG, Infinity): unit s feeds and makes the slots of scale s.

    `sizes` are numbers of codes per scale; progress is s / (K - 1).
    """

    sizes: tuple[int, ...]

    @property
    def slots(self) -> int:
        return sum(self.sizes)

    @property
    def kept(self) -> int:
        """All but the last scale, which nothing sees but itself."""
        return sum(self.sizes[:-1])

    @property
    def codes(self) -> int:
        return sum(self.sizes)

    def units(self) -> tuple[Unit, ...]:
        ends = list(accumulate(self.sizes))
        spans = [range(end - size, end) for size, end in zip(self.sizes, ends, strict=True)]
        last = max(len(spans) - 1, 1)
        return tuple(Unit(span, span, scale / last) for scale, span in enumerate(spans))

    def mask(self) -> Blocks:
        return Blocks(self.sizes)


@dataclass(frozen=True, slots=True)
class RasterOrder:
    """One code after the other behind `condition` slots: slot T + i reads code i, the slot before made it.

    The last code is never fed. Progress is i / (L - 1).
    """

    condition: int
    codes: int

    @property
    def slots(self) -> int:
        return self.condition + self.codes - 1

    @property
    def kept(self) -> int:
        """All: the last slot is one entry, too few to be looked at apart."""
        return self.slots

    def units(self) -> tuple[Unit, ...]:
        return tuple(self._unit(code) for code in range(self.codes))

    def mask(self) -> Causal:
        return Causal()

    def _unit(self, code: int) -> Unit:
        """The first one feeds the whole condition."""
        last_fed = self.condition + code - 1
        fed = range(last_fed if code else 0, last_fed + 1)
        return Unit(fed, range(code, code + 1), code / max(self.codes - 1, 1))


@dataclass(frozen=True, slots=True)
class NeighbourOrder:
    """All codes of equal distance from the first one at once: anti-diagonals of pictures, planes of videos
    (NAR, arXiv 2503.10696). Distance counts steps along the axes of the `grid`.

    Units and mask count slots and codes as they are fed and made. Where these stand is numbered in raster
    order, the `condition` first: see `at`. Unit s feeds the codes of unit s - 1, the first one the condition;
    the last code is never fed. Progress is s / (units - 1). Shapes: A axes, L codes.
    """

    condition: int
    grid: tuple[int, ...]

    @property
    def slots(self) -> int:
        return self.condition + self.codes - 1

    @property
    def kept(self) -> int:
        """All: the last unit that is fed is seen by itself alone, but too few to be looked at apart."""
        return self.slots

    @property
    def codes(self) -> int:
        return prod(self.grid)

    @property
    def planes(self) -> tuple[int, ...]:
        """Codes of every unit."""
        return tuple(self._distances().bincount().tolist())

    def units(self) -> tuple[Unit, ...]:
        ends = list(accumulate(self.planes, initial=0))
        made = [range(*span) for span in pairwise(ends)]
        fed = [
            range(self.condition),
            *(range(self.condition + one.start, self.condition + one.stop) for one in made),
        ]
        last = max(len(made) - 1, 1)
        return tuple(Unit(*spans, unit / last) for unit, spans in enumerate(zip(fed, made, strict=False)))

    def mask(self) -> Blocks:
        """The condition is causal; a code sees all of the condition, of its own unit and of those before."""
        return Blocks((*[1] * self.condition, *self.planes[:-1]))

    def cells(self) -> Tensor:
        """The cell of every code, int64 [L] on the CPU: rows ascend within a unit."""
        return self._distances().argsort(stable=True)

    def at(self) -> Tensor:
        """The slot of the condition and of every code, int64 [condition + L] on the CPU."""
        return torch.cat([torch.arange(self.condition, device="cpu"), self.condition + self.cells()])

    def neighbours(self) -> Tensor:
        """For each cell and axis, from the last axis on, the fed slot of the neighbour before it, whose head
        predicts the cell: int64 [A,L] on the CPU, -1 where there is none. The last slot of the condition
        stands for all neighbours of the first cell."""
        strides = [prod(self.grid[axis + 1 :]) for axis in range(len(self.grid))]
        before_AL = torch.arange(self.codes, device="cpu") - torch.tensor(strides, device="cpu")[:, None]
        slot_L = self.condition + self.cells().argsort()
        slot_AL = torch.where(self._places() > 0, slot_L[before_AL.clamp(min=0)], -1).flip(0)
        slot_AL[:, 0] = self.condition - 1
        return slot_AL

    def _places(self) -> Tensor:
        """The place of every cell along each axis, [A,L]."""
        return torch.stack(torch.unravel_index(torch.arange(self.codes, device="cpu"), self.grid))

    def _distances(self) -> Tensor:
        return self._places().sum(0)


@dataclass(frozen=True, slots=True)
class MaskedOrder:
    """Random sets of tokens, few at first and more and more (MAR, arXiv 2406.11838; MaskGIT's cosine plan).

    After step k of K, floor(L cos(pi/2 (k + 1) / K)) of L tokens are still masked; every step makes one at
    least, and the last one all that are left. Units number tokens as they are made: where they stand is drawn
    for each picture. With `known` tokens given before, the plan is that of the others, in no more steps than
    there are of them. Every step looks at all slots anew. Progress is the share of all tokens that are not
    masked any more, in the last unit (L - 1) / L, as officially. Raises GenstudioError for more steps than
    tokens, where the official code crashes.
    """

    codes: int
    steps: int
    known: int = 0

    def __post_init__(self) -> None:
        check_walk_steps(self.steps, self.codes)

    @property
    def slots(self) -> int:
        return self.codes

    @property
    def kept(self) -> int:
        """None: nothing is remembered from step to step."""
        return 0

    def masked(self) -> tuple[int, ...]:
        """Tokens still masked after each step, as the official code counts them: 1 after the last."""
        left = self.codes - self.known
        steps, counts = min(self.steps, left), list[int]()
        for step in range(steps):
            planned = floor(left * cos(pi / 2 * (step + 1) / steps))
            counts.append(max(1, min((counts[-1] if counts else left) - 1, planned)))
        return tuple(counts)

    def units(self) -> tuple[Unit, ...]:
        masked = self.masked()
        ends = [self.known, *(self.codes - count for count in masked[:-1]), self.codes]
        shares = (1 - count / self.codes for count in masked)
        return tuple(
            Unit(range(self.codes), range(*made), share)
            for made, share in zip(pairwise(ends), shares, strict=False)
        )

    def mask(self) -> Full:
        return Full()
