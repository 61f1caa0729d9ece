"""Architecture numbers of the NAR transformer for pictures (arXiv 2503.10696); importable without torch."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from genstudio.configs.llamagen import LlamaConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NARConfig(LlamaConfig):
    """Every number that the tensors of a NAR transformer depend on.

    There is a head for each axis of the grid, beginning with the last: to the right, then below. The first
    one reads what `depth` blocks made, each further one lies `extra` blocks above the one before it. Raises
    ValueError as `LlamaConfig` does, and unless heads and axes are equally many.
    """

    kind: Literal["nar"] = "nar"
    extra: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        LlamaConfig.__post_init__(self)
        if len(self.exits) != len(self.grid):
            raise ValueError(f"a grid of {len(self.grid)} axes takes {len(self.grid) - 1} extra exits")

    @property
    def grid(self) -> tuple[int, ...]:
        """Codes along each axis."""
        return (self.side, self.side)

    @property
    def exits(self) -> tuple[int, ...]:
        """How many blocks lie below each head."""
        return tuple(accumulate((self.depth, *self.extra)))

    @property
    def layers(self) -> int:
        """Blocks in all."""
        return self.exits[-1]
