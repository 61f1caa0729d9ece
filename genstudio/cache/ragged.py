"""RaggedCache: rows of different lengths, for speculation on a batch and for request queues.

Pending entries lie behind the committed ones of the longest row, so that a write is one copy and attention
reads one slice with a mask over its committed part; a commit moves what is kept to the end of every row.
With `fixed` they lie at the end of the buffer and the slice is all of it: shapes never change, and lengths
are not waited for (GPU, CUDA graphs). The mask also hides entries that were written closed, from their commit
on.
Shapes: Y layers, R rows, H heads, C capacity, D head width, n entries written, d entries kept per row.
"""

from dataclasses import replace

import torch
from torch import Tensor

from genstudio.cache.protocol import KV, Query
from genstudio.cache.spec import CacheSpec
from genstudio.samplers.values import Feed


class RaggedCache:
    """A length per row; holds what `Cache` promises. Every row needs room for all n entries of a write.

    Raises ValueError for a spec with a `look`.
    """

    def __init__(self, spec: CacheSpec, device: torch.device | str, *, fixed: bool = False) -> None:
        if spec.look:
            raise ValueError("A ragged cache has no place for a look: add it to the capacity.")
        shape = (2, spec.layers, spec.rows, spec.heads, spec.capacity, spec.head_dim)
        self.spec = spec
        self.length_R = torch.zeros(spec.rows, dtype=torch.int64, device=device)
        # Zeros: what a mask hides is still multiplied, by 0, and has to be finite.
        self._kv_2YRHCD = torch.zeros(shape, dtype=getattr(torch, spec.dtype), device=device)
        self._open_RC = torch.zeros(spec.rows, spec.capacity, dtype=torch.bool, device=device)
        self._pending = [0] * spec.layers
        self._pending_open_Rn: Tensor | None = None
        self._fixed = fixed
        self._longest = 0

    def write(self, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None) -> KV:
        """Copy k and v behind the longest row; a view of committed + pending comes back, and the mask.

        Raises ValueError where they do not fit into the capacity.
        """
        del query
        count = k_RHnD.shape[2]
        start = self._start(count)
        stop = start + count
        self._kv_2YRHCD[0, layer, :, :, start:stop] = k_RHnD
        self._kv_2YRHCD[1, layer, :, :, start:stop] = v_RHnD
        self._pending[layer] = count
        self._pending_open_Rn = feed.open_Rn
        k_RHmD, v_RHmD = self._kv_2YRHCD[:, layer, :, :, :stop]
        return KV(k_RHmD, v_RHmD, self._open_RC[:, :start], self.length_R)

    def commit(self, keep: int | Tensor) -> None:
        """Keep a count for all rows, a count per row [R], or pending indices [R, d] with -1 behind the last.

        Raises ValueError where a row is to keep more entries than are pending.
        """
        pending = min(self._pending)
        index_Rd = self._indices(keep, pending)
        if index_Rd.shape[1]:
            self._move(index_Rd, self._start(pending))
        self._pending = [0] * self.spec.layers

    def take(self, rows: Tensor) -> "RaggedCache":
        """A cache of these rows (int64 indices, repeats allowed); pending entries stay behind."""
        taken = RaggedCache(replace(self.spec, rows=len(rows)), self.length_R.device, fixed=self._fixed)
        taken._set_length(self.length_R[rows])
        taken._kv_2YRHCD.copy_(self._kv_2YRHCD[:, :, rows])
        taken._open_RC.copy_(self._open_RC[rows])
        return taken

    def nbytes(self) -> int:
        """Bytes of the key and value buffers."""
        return self._kv_2YRHCD.nbytes

    def _start(self, count: int) -> int:
        """The column of the first of `count` pending entries."""
        start = self.spec.capacity - count if self._fixed else self._longest
        if not 0 <= start <= self.spec.capacity - count:
            raise ValueError(f"{start + count} entries do not fit into a capacity of {self.spec.capacity}.")
        return start

    def _indices(self, keep: int | Tensor, pending: int) -> Tensor:
        """Any form of `keep` as pending indices [R, d], d <= pending, -1 behind the last of a row."""
        if isinstance(keep, Tensor) and keep.ndim == 2:
            return keep[:, :pending]
        if (isinstance(keep, int) or not self._fixed) and (
            most := int(torch.as_tensor(keep).max())
        ) > pending:
            raise ValueError(f"Cannot keep {most} entries: a layer has {pending} pending.")
        index_d = torch.arange(pending, device=self.length_R.device)
        if isinstance(keep, int):
            return index_d[:keep].expand(self.spec.rows, -1)
        return torch.where(index_d < keep[:, None], index_d, -1)

    def _move(self, index_Rd: Tensor, start: int) -> None:
        """Copy the kept entries to the end of their rows.

        What is not kept goes to the last column: a row that keeps fewer than all pending entries ends before.
        """
        kept_Rd = index_Rd >= 0
        end_Rd = self.length_R[:, None] + torch.arange(index_Rd.shape[1], device=index_Rd.device)
        target_Rd = torch.where(kept_Rd, end_Rd, self.spec.capacity - 1)
        _move_columns(self._kv_2YRHCD, start + index_Rd.clamp(min=0), target_Rd)
        open_Rd = kept_Rd
        if self._pending_open_Rn is not None:
            open_Rn = self._pending_open_Rn.expand(self.spec.rows, -1)
            open_Rd = kept_Rd & open_Rn.gather(1, index_Rd.clamp(min=0))
        self._open_RC.scatter_(1, target_Rd, open_Rd)
        self._set_length(self.length_R + kept_Rd.sum(1))

    def _set_length(self, length_R: Tensor) -> None:
        self.length_R = length_R
        if not self._fixed:
            self._longest = int(length_R.max())


def _move_columns(kv_2YRHCD: Tensor, source_Rd: Tensor, target_Rd: Tensor) -> None:
    """Copy columns within every row, for all layers and heads, after reading all of them."""
    two, layers, rows, heads, _, width = kv_2YRHCD.shape
    shape = (two, layers, rows, heads, source_Rd.shape[1], width)
    source, target = (one[None, None, :, None, :, None].expand(shape) for one in (source_Rd, target_Rd))
    kv_2YRHCD.scatter_(4, target, kv_2YRHCD.gather(4, source))
