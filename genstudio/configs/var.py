"""Architecture numbers of VAR (arXiv 2404.02905); importable without torch."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from genstudio.cache.spec import CacheSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NextScaleConfig:
    """The numbers that VAR and its distilled students have.

    `sizes` are the side lengths of the token maps, coarse to fine; `code_width` is the width of the
    tokenizer's codes.
    """

    classes: int
    depth: int
    width: int
    heads: int
    mlp_ratio: float
    vocab: int
    code_width: int
    sizes: tuple[int, ...]
    shared_adaln: bool
    l2_attention: bool
    norm_eps: float = 1e-6

    @property
    def slots(self) -> int:
        """Codes of one picture, over all scales."""
        return sum(size * size for size in self.sizes)

    @property
    def side(self) -> int:
        """Cells along one side of the latent."""
        return self.sizes[-1]

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """First and last-plus-one slot of every scale."""
        ends = list(accumulate(size * size for size in self.sizes))
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    def cache_spec(self, rows: int, capacity: int, dtype: str, look: int = 0) -> CacheSpec:
        """Keys and values of all blocks for that many rows and slots; `look` more are never kept."""
        return CacheSpec(
            layers=self.depth,
            rows=rows,
            heads=self.heads,
            head_dim=self.width // self.heads,
            capacity=capacity,
            look=look,
            dtype=dtype,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VARConfig(NextScaleConfig):
    """Every number that the tensors of a VAR depend on; it reads codes as accumulated features."""

    kind: Literal["var"] = "var"
