"""Orders: in which units the codes of a picture come to be, and the mask of the teacher-forced pass."""

from dataclasses import dataclass
from itertools import accumulate

from genstudio.samplers.values import Blocks, Causal, Unit


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
