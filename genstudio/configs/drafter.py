"""Architecture numbers of EAGLE's draft network (LANTERN, arXiv 2410.03355); importable without torch."""

from dataclasses import dataclass
from typing import Literal

from genstudio.cache.spec import CacheSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterConfig:
    """Every number that the tensors of a drafter depend on: mostly one layer, as wide as its target.

    `condition_slots` and `side` are the target's: slots in front of the codes, codes in a row of the grid.
    """

    kind: Literal["drafter"] = "drafter"
    depth: int = 1
    width: int
    heads: int
    hidden: int
    vocab: int
    side: int
    condition_slots: int
    norm_eps: float = 1e-6
    rope_base: float = 10_000.0
    bias: bool = True

    def cache_spec(self, rows: int, capacity: int, dtype: str) -> CacheSpec:
        """Keys and values of all layers for that many rows and slots."""
        return CacheSpec(
            layers=self.depth,
            rows=rows,
            heads=self.heads,
            head_dim=self.width // self.heads,
            capacity=capacity,
            dtype=dtype,
        )
