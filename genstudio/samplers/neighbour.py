"""The walk over neighbours (NAR): every step feeds what the last one made and makes all that touches it.

Keys are appended in that order: who attends to whom is decided by what is there, and positions go by slot.
Inside, codes stand in the order of generation; what is given and what is handed out is in raster order, and
draws are keyed by cell. Null rows leave behind the last unit that needs them.
Shapes: B pictures, R rows (B, or 2B = [given | null]), n fed slots, m codes of a unit, L codes of a picture,
S slots, A axes, D width, V codes.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genstudio.cache.protocol import Cache
from genstudio.samplers.draws import At
from genstudio.samplers.orders import NeighbourOrder
from genstudio.samplers.picks import guided_logits, pick
from genstudio.samplers.sequence import (
    Conditioned,
    SequenceState,
    drop_null_rows,
    given_codes,
    keep,
    known_codes,
    opened,
)
from genstudio.samplers.values import Blocks, Codes, Cond, Feed, Unit
from genstudio.samplers.walk import Job


class Trunk(Conditioned, Protocol):
    """The network of a next-neighbour method: states for the heads of all axes, and logits of cells from the
    states of their neighbours. `at_S` and `slot_AL` are the tables of its order."""

    at_S: Tensor
    slot_AL: Tensor

    @property
    def order(self) -> NeighbourOrder: ...
    def embed(self, ids_Rn: Tensor) -> Tensor: ...
    def forward(self, x_RnD: Tensor, feed: Feed, cond: Cond, cache: Cache | None = None) -> Tensor: ...
    def logits(self, h_RnAD: Tensor, slot_Am: Tensor, cond: Cond) -> Tensor: ...


class NeighbourWalk:
    """One unit of equal distance per `advance`."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk

    @property
    def total(self) -> int:
        return self.trunk.order.codes

    def start(self, job: Job) -> SequenceState:
        """The codes that are given: those that fill units from the first on go in with the condition, in one
        pass; others keep their places. The condition is computed here, once."""
        ids_BL, known_BL = given_codes(job, self.total)
        cell_L = self._cells()
        return opened(self.trunk, job, ids_BL[:, cell_L], None if known_BL is None else known_BL[:, cell_L])

    def advance(self, state: SequenceState) -> None:
        """Make the next unit of every picture."""
        job, unit = state.job, state.units[state.unit]
        if state.unit == state.guided:
            drop_null_rows(state)
        first, cell_m = state.slots, self._cells()[unit.made.start : unit.made.stop]
        h_RnAD = self._feed(state, unit)
        state.cache.commit(h_RnAD.shape[1])
        heads = _Heads(self.trunk, self.trunk.slot_AL[:, cell_m] - first)
        logits_BmV = guided_logits(heads, h_RnAD, state.cond, job.weight(unit), job)
        keep(state, unit, pick(logits_BmV, At.grid(job.seed_B, cell_m[:, None]), job))
        state.unit += 1

    def codes(self, state: SequenceState) -> Codes:
        """The ids [B,L] in raster order, and which of them are known."""
        made = known_codes(state)
        rank_L = self._cells().argsort()
        known_BL = None if made.known_BL is None else made.known_BL[:, rank_L]
        return Codes("ids", (made.data[0][:, rank_L],), known_BL)

    def _feed(self, state: SequenceState, unit: Unit) -> Tensor:
        """Hidden states [R,n,A,D] of all slots up to the unit's that were not fed yet."""
        cond, first = state.cond, state.slots
        x_RnD = self.trunk.embed(cond.spread(state.ids_BL[:, state.read : unit.made.start]))
        feed = Feed(self.trunk.at_S[None, first : unit.fed.stop])
        if first == 0:
            x_RnD = torch.cat([cond.start_RTD, x_RnD], dim=1)
            sizes = (len(one.fed) for one in state.units[1 : state.unit + 1])
            mask = Blocks((*[1] * cond.start_RTD.shape[1], *sizes))
            feed = Feed(feed.at_Rn, mask, cond.open_through(x_RnD.shape[1]))
        state.slots, state.read = unit.fed.stop, unit.made.start
        return self.trunk.forward(x_RnD, feed, cond, state.cache)

    def _cells(self) -> Tensor:
        """The cell of every code, in the order of generation."""
        order = self.trunk.order
        return self.trunk.at_S[order.condition :] - order.condition


class _Heads(NamedTuple):
    """The heads of all axes as one, for cells whose neighbours were fed last."""

    trunk: Trunk
    slot_Am: Tensor

    def logits(self, h_RnAD: Tensor, cond: Cond) -> Tensor:
        """Logits [R,m,V] of the cells."""
        return self.trunk.logits(h_RnAD, self.slot_Am, cond)
