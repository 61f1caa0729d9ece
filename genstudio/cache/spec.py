"""The size of a key/value cache, known before anything is allocated and without torch."""

from dataclasses import dataclass

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """What a cache has to hold: `capacity` is the slots of the order plus the slack of an accelerator.

    `dtype` is a name ("float32") so that a command can plan memory before it imports torch.
    """

    layers: int
    rows: int
    heads: int
    capacity: int
    head_dim: int
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        entries = self.layers * self.rows * self.heads * self.capacity
        return 2 * entries * self.head_dim * BYTES[self.dtype]
