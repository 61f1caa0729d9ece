"""The size of a key/value cache, known before anything is allocated and without torch."""

from dataclasses import dataclass

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """What a cache has to hold: `capacity` entries that can be kept, the slots of the order that later units
    see plus the slack of an accelerator; and `look` further ones, written by a call that keeps nothing. They
    lie in one place for all layers, which saves the finest scale of VAR: two fifths of all slots.

    `dtype` is a name ("float32") so that a command can plan memory before it imports torch.
    """

    layers: int
    rows: int
    heads: int
    capacity: int
    look: int = 0
    head_dim: int
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        looked = self.capacity + self.look if self.look else 0
        entries = self.rows * self.heads * (self.layers * self.capacity + looked)
        return 2 * entries * self.head_dim * BYTES[self.dtype]
