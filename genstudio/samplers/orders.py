"""Orders: in which units the codes of a picture come to be, and the mask of the teacher-forced pass."""

from dataclasses import dataclass
from itertools import accumulate

from genstudio.samplers.values import Blocks, Unit


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
