"""Key/value caches: nothing is kept until the walk commits.

A layer writes its keys and values (pending) and reads committed + pending back; `commit` decides what stays.
A second write before the commit replaces the first, so an exception leaves the committed part as it was.
Caches know no rope, no guidance halves and no method.
Shapes: R rows, H heads, n entries written, m entries read, D head width.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

from genstudio.samplers.values import Feed


class KV(NamedTuple):
    """Keys and values to attend to: committed entries first, then the pending ones of this call.

    `committed_open_Rm` is None when every committed entry is visible, else True where it is. Rows that
    differ in length say it as `length_R`: nothing from there on is visible.
    """

    k_RHmD: Tensor
    v_RHmD: Tensor
    committed_open_Rm: Tensor | None = None
    length_R: Tensor | None = None


class Query(NamedTuple):
    """Queries of the call before and after normalisation or rope; only caches that select entries read it."""

    raw_RHnD: Tensor
    used_RHnD: Tensor


class Cache(Protocol):
    """One store for all layers of one run."""

    def write(self, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None) -> KV:
        """Hold k and v as pending and return committed + pending of that layer."""
        ...

    def commit(self, keep: int | Tensor) -> None:
        """Keep `keep` pending entries: a count for all rows, [R] counts, or [R,d] pending indices (-1 none).

        0 keeps nothing and makes the call a look.
        """
        ...

    def take(self, rows: Tensor) -> "Cache":
        """A cache of these rows (gathered or repeated): fork, drop finished rows, drop null rows."""
        ...

    def nbytes(self) -> int:
        """Bytes of the buffers; equals `CacheSpec.nbytes` and is known before anything is allocated."""
        ...
