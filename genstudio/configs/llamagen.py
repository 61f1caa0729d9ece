"""Architecture numbers of the LlamaGen transformer (arXiv 2406.06525); importable without torch."""

from dataclasses import dataclass
from typing import Literal

from genstudio.cache.spec import CacheSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """Text as a condition: always `slots` rows of features, padding included, each `width` wide."""

    slots: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaConfig:
    """The numbers that all Llama transformers over the codes of a picture have.

    A picture has `side` x `side` codes; `hidden` is the width inside of the feed-forward layers. The
    condition is one of `classes` (one slot), or a `caption` where there are none. Raises ValueError unless it
    is one of the two and the width of a head splits into pairs for rows and columns.
    """

    depth: int
    width: int
    heads: int
    hidden: int
    vocab: int
    side: int
    classes: int = 0
    caption: Caption | None = None
    norm_eps: float = 1e-5
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        if (self.classes > 0) == (self.caption is not None):
            raise ValueError("give either classes or a caption")
        if self.width % (4 * self.heads):
            raise ValueError(f"width {self.width} does not split into {self.heads} heads of 4, 8, ... values")

    @property
    def layers(self) -> int:
        """Blocks in all."""
        return self.depth

    @property
    def condition_slots(self) -> int:
        """Slots in front of the first code."""
        return 1 if self.caption is None else self.caption.slots

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @property
    def codes(self) -> int:
        """Codes of one picture."""
        return self.side * self.side

    def cache_spec(self, rows: int, capacity: int, dtype: str, look: int = 0) -> CacheSpec:
        """Keys and values of all blocks for that many rows and slots; `look` more are never kept."""
        return CacheSpec(
            layers=self.layers,
            rows=rows,
            heads=self.heads,
            head_dim=self.head_dim,
            capacity=capacity,
            look=look,
            dtype=dtype,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaGenConfig(LlamaConfig):
    """Every number that the tensors of a LlamaGen transformer depend on; its codes follow in raster order."""

    kind: Literal["llamagen"] = "llamagen"


def gated_width(width: int, multiple: int = 256, factor: float = 1.0) -> int:
    """Llama's rule for `hidden`: two thirds of four widths, times a factor, rounded up to a multiple."""
    return -(-int(factor * (8 * width // 3)) // multiple) * multiple
