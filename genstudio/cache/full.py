"""FullCache: every row has the same length, so attention reads plain slices and needs no mask.

Buffers are allocated once at their final size; a write copies the new entries behind the committed ones and
returns views. Rows that may differ in length (speculation on a batch, request queues) need `RaggedCache`.
Entries written closed stay closed: from their commit on, every later call gets a mask that hides them. Within
the call that writes them, `Feed.open_Rn` hides them. A write past the capacity is a look: it goes to a place
that all layers share, behind a copy of the layer's committed entries, and cannot be committed.
Shapes: Y layers, R rows, H heads, C capacity, D head width, n entries written, m entries read.
"""

from dataclasses import replace

import torch
from torch import Tensor

from genstudio.cache.protocol import KV, Query
from genstudio.cache.spec import CacheSpec
from genstudio.samplers.values import Feed


class FullCache:
    """One Python length for all rows; holds what `Cache` promises."""

    def __init__(self, spec: CacheSpec, device: torch.device | str) -> None:
        shape = (spec.layers, spec.rows, spec.heads, spec.capacity, spec.head_dim)
        self.spec = spec
        self.length = 0
        dtype = getattr(torch, spec.dtype)
        self._k_YRHCD, self._v_YRHCD = torch.empty(2, *shape, dtype=dtype, device=device)
        looked = (spec.rows, spec.heads, spec.capacity + spec.look if spec.look else 0, spec.head_dim)
        self._look_2RHCD = torch.empty(2, *looked, dtype=dtype, device=device)
        self._open_RC: Tensor | None = None
        self._pending = [0] * spec.layers
        self._pending_open_Rn: Tensor | None = None
        self._looks = False

    def write(self, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None) -> KV:
        """Copy k and v behind the committed entries; views of committed + pending come back.

        Raises ValueError where they do not fit into the capacity.
        """
        del query
        start, stop = self.length, self.length + k_RHnD.shape[2]
        room = self.spec.capacity + self.spec.look
        if stop > room:
            raise ValueError(f"{stop} entries do not fit into a cache of capacity {room}.")
        self._looks = stop > self.spec.capacity
        k_RHCD, v_RHCD = self._look(layer) if self._looks else (self._k_YRHCD[layer], self._v_YRHCD[layer])
        k_RHCD[:, :, start:stop] = k_RHnD
        v_RHCD[:, :, start:stop] = v_RHnD
        self._pending[layer] = stop - start
        self._pending_open_Rn = feed.open_Rn
        open_Rm = None if self._open_RC is None else self._open_RC[:, :start]
        return KV(k_RHCD[:, :, :stop], v_RHCD[:, :, :stop], open_Rm)

    def commit(self, keep: int | Tensor) -> None:
        """Keep the first `keep` pending entries of every row.

        A tensor of counts or of pending indices has to name the same leading entries in every row. Raises
        ValueError where it does not, where a layer has fewer pending entries, or after a look.
        """
        count = keep if isinstance(keep, int) else _same_prefix(keep)
        if count > min(self._pending):
            raise ValueError(f"Cannot keep {count} entries: a layer has {min(self._pending)} pending.")
        if count and self._looks:
            raise ValueError(f"Cannot keep a look past the capacity of {self.spec.capacity} entries.")
        if count:
            self._close(count)
        self.length += count
        self._pending = [0] * self.spec.layers

    def take(self, rows: Tensor) -> "FullCache":
        """A cache of these rows (int64 indices, repeats allowed); pending entries stay behind."""
        taken = FullCache(replace(self.spec, rows=len(rows)), self._k_YRHCD.device)
        taken.length = self.length
        committed = slice(self.length)
        taken._k_YRHCD[..., committed, :] = self._k_YRHCD[..., committed, :][:, rows]
        taken._v_YRHCD[..., committed, :] = self._v_YRHCD[..., committed, :][:, rows]
        taken._open_RC = None if self._open_RC is None else self._open_RC[rows]
        return taken

    def nbytes(self) -> int:
        """Bytes of the key and value buffers."""
        return self._k_YRHCD.nbytes + self._v_YRHCD.nbytes + self._look_2RHCD.nbytes

    def _look(self, layer: int) -> Tensor:
        """The shared keys and values, [2,R,H,capacity + look,D], beginning with what this layer committed."""
        self._look_2RHCD[0, :, :, : self.length] = self._k_YRHCD[layer, :, :, : self.length]
        self._look_2RHCD[1, :, :, : self.length] = self._v_YRHCD[layer, :, :, : self.length]
        return self._look_2RHCD

    def _close(self, count: int) -> None:
        """Remember which of the entries about to be committed nobody may see; the mask exists only then."""
        if self._pending_open_Rn is None:
            return
        if self._open_RC is None:
            shape = (self.spec.rows, self.spec.capacity)
            self._open_RC = torch.ones(shape, dtype=torch.bool, device=self._k_YRHCD.device)
        self._open_RC[:, self.length : self.length + count] = self._pending_open_Rn[:, :count]


def _same_prefix(keep: Tensor) -> int:
    """The one count that a tensor commit stands for, if every row keeps the same leading entries."""
    counts = keep if keep.ndim == 1 else (keep >= 0).sum(-1)
    count = int(counts[0])
    prefix = torch.arange(count, device=keep.device)
    if bool((counts != count).any()) or (keep.ndim == 2 and bool((keep[:, :count] != prefix).any())):
        raise ValueError("FullCache keeps the same leading entries in every row; use RaggedCache.")
    return count
