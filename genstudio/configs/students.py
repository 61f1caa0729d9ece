"""Architecture numbers of one-step students (Distilled Decoding, arXiv 2412.17153); importable without torch.

A student has its teacher's trunk; it reads code vectors or noise at every position, all at once.
"""

from dataclasses import dataclass
from typing import Literal

from genstudio.cache.spec import CacheSpec
from genstudio.configs.llamagen import LlamaConfig
from genstudio.configs.var import NextScaleConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class VARStudentConfig(NextScaleConfig):
    """Every number that the tensors of a student of VAR depend on; `sizes` are its teacher's."""

    kind: Literal["var_student"] = "var_student"

    @property
    def levels(self) -> tuple[int, ...]:
        """Side lengths with the class in front, which is a level of its own."""
        return (1, *self.sizes)

    def cache_spec(self, rows: int, capacity: int, dtype: str, look: int = 0) -> CacheSpec:
        """Of nothing: a student sees all positions at once."""
        del rows, capacity, look
        return _nothing_kept(dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaGenStudentConfig(LlamaConfig):
    """Every number that the tensors of a student of LlamaGen depend on."""

    code_width: int
    kind: Literal["llamagen_student"] = "llamagen_student"

    def cache_spec(self, rows: int, capacity: int, dtype: str, look: int = 0) -> CacheSpec:
        """Of nothing: a student sees all positions at once."""
        del rows, capacity, look
        return _nothing_kept(dtype)


StudentConfig = VARStudentConfig | LlamaGenStudentConfig


def _nothing_kept(dtype: str) -> CacheSpec:
    return CacheSpec(layers=0, rows=0, heads=0, head_dim=0, capacity=0, dtype=dtype)
