"""Architecture numbers of MAR (arXiv 2406.11838); importable without torch."""

from dataclasses import dataclass
from typing import Literal

from genstudio.cache.spec import CacheSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MARConfig:
    """Every number that the tensors of a MAR network depend on.

    A picture has `side` x `side` tokens of `patch` x `patch` cells with `code_width` channels each. `depth`,
    `width` and `heads` are the encoder's; the decoder has its own. `buffer` slots in front of the tokens hold
    the class. `head_depth` and `head_width` are those of the diffusion head.
    """

    kind: Literal["mar"] = "mar"
    classes: int
    depth: int
    width: int
    heads: int
    decoder_depth: int
    decoder_width: int
    decoder_heads: int
    head_depth: int
    head_width: int
    side: int
    code_width: int
    patch: int = 1
    buffer: int = 64
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-6

    @property
    def codes(self) -> int:
        """Tokens of one picture."""
        return self.side * self.side

    @property
    def token_width(self) -> int:
        """Numbers of one token."""
        return self.code_width * self.patch**2

    def cache_spec(self, rows: int, capacity: int, dtype: str, look: int = 0) -> CacheSpec:
        """No keys or values are kept, and none are looked at apart: every step sees all tokens anew."""
        del capacity, look
        return CacheSpec(
            layers=0, rows=rows, heads=self.heads, head_dim=self.width // self.heads, capacity=0, dtype=dtype
        )
