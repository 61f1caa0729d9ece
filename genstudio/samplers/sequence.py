"""The walk along a sequence (LlamaGen, D-AR, Token-Shuffle): every step feeds what the last one made.

Codes that are known before go in with the condition, in one pass. The last code is never fed. Ids stay on the
device and no step waits for them. Null rows leave behind the last unit that needs them.
Shapes: B pictures, R rows (B, or 2B = [given | null]), n fed slots, L codes of a picture, D width.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from genstudio.cache.protocol import Cache
from genstudio.samplers.picks import guided_logits, pick, places
from genstudio.samplers.values import ALL, Codes, Cond, Feed, Given, Order, Unit
from genstudio.samplers.walk import Job


class Conditioned(Protocol):
    """What a walk needs of a network before its first step."""

    @property
    def order(self) -> Order: ...
    def condition(self, given: Given, null: bool) -> Cond: ...


class Trunk(Conditioned, Protocol):
    """The network of a next-token method."""

    def embed(self, ids_Rn: Tensor) -> Tensor: ...
    def forward(
        self, x_RnD: Tensor, feed: Feed, cond: Cond, cache: Cache | None = None, span: slice = ALL
    ) -> Tensor: ...
    def logits(self, h_RnD: Tensor, cond: Cond) -> Tensor: ...


@dataclass
class SequenceState:
    """Where B pictures stand: the condition, the cache, the codes in the order of generation (`ids_BL`, 0
    where none is made yet).

    `known_BL` are codes that were given; `unit` counts units made, `guided` those up to the last one that
    needs null rows; `slots` and `read` count what the cache holds: slots, and the codes among them.
    """

    job: Job
    cond: Cond
    cache: Cache
    units: tuple[Unit, ...]
    ids_BL: Tensor
    known_BL: Tensor | None
    unit: int
    guided: int
    slots: int = 0
    read: int = 0
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.unit == len(self.units)

    @property
    def done(self) -> int:
        return self.units[self.unit - 1].made.stop if self.unit else 0


class SequenceWalk:
    """One unit per `advance`."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk

    @property
    def total(self) -> int:
        return self.trunk.order.codes

    def start(self, job: Job) -> SequenceState:
        """The codes that are given: the condition is computed here, once."""
        prefix = job.given.prefix
        leading = prefix.data[0].shape[1] if prefix is not None and prefix.known_BL is None else None
        return opened(self.trunk, job, *given_codes(job, self.total), leading)

    def advance(self, state: SequenceState) -> None:
        """Make the next code of every picture."""
        job, unit = state.job, state.units[state.unit]
        if state.unit == state.guided:
            drop_null_rows(state)
        h_RnD = self.feed(state, unit)
        state.cache.commit(h_RnD.shape[1])
        logits_B1V = guided_logits(self.trunk, h_RnD[:, -1:], state.cond, job.weight(unit), job)
        keep(state, unit, pick(logits_B1V, places(unit, job), job))
        state.unit += 1

    def codes(self, state: SequenceState) -> Codes:
        """The ids [B,L], and which of them are known."""
        return known_codes(state)

    def feed(self, state: SequenceState, unit: Unit) -> Tensor:
        """Hidden states [R,n,D] of all slots up to the unit's that were not fed yet."""
        cond, first = state.cond, state.slots
        x_RnD = self.trunk.embed(cond.spread(state.ids_BL[:, state.read : unit.made.start]))
        open_Rn = None
        if first == 0:
            x_RnD = torch.cat([cond.start_RTD, x_RnD], dim=1)
            open_Rn = cond.open_through(x_RnD.shape[1])
        at_1n = torch.arange(first, unit.fed.stop, device=x_RnD.device)[None]
        state.slots, state.read = unit.fed.stop, unit.made.start
        return self.trunk.forward(x_RnD, Feed(at_1n, self.trunk.order.mask(), open_Rn), cond, state.cache)


def opened(
    trunk: Conditioned, job: Job, ids_BL: Tensor, known_BL: Tensor | None, leading: int | None = None
) -> SequenceState:
    """Behind the units that every picture knows, with room for all slots."""
    order = trunk.order
    units = order.units()[: job.until]
    guided = len(units) if job.always_null else _last_guided(job, units)
    leading = _leading(known_BL) if leading is None else leading
    made = sum(unit.made.stop <= leading for unit in units)
    cond = trunk.condition(job.given, null=guided > made)
    cache = job.cache(cond.start_RTD.shape[0], order.kept, order.slots - order.kept)
    return SequenceState(job, cond, cache, units, ids_BL, known_BL, made, guided)


def known_codes(state: SequenceState) -> Codes:
    """The ids [B,L] in the order of generation, and which of them are known."""
    codes = state.ids_BL.shape[1]
    if state.done == codes:
        return Codes("ids", (state.ids_BL,))
    made_1L = torch.arange(codes, device=state.ids_BL.device)[None] < state.done
    known_BL = made_1L.expand_as(state.ids_BL) if state.known_BL is None else made_1L | state.known_BL
    return Codes("ids", (state.ids_BL,), known_BL)


def _last_guided(job: Job, units: tuple[Unit, ...]) -> int:
    """Units up to the last one whose weight is not 1."""
    return max((number for number, unit in enumerate(units, 1) if job.weight(unit) != 1), default=0)


def drop_null_rows(state: SequenceState) -> None:
    """Go on with the pictures alone: no unit that is left is guided."""
    given = torch.arange(state.job.batch, device=state.ids_BL.device)
    if len(state.cond.start_RTD) > len(given):
        state.cond, state.cache = state.cond.take(given), state.cache.take(given)


def given_codes(job: Job, length: int) -> tuple[Tensor, Tensor | None]:
    """Room for all ids [B,L] with those that are given, and where they are; None where nothing is."""
    ids_BL = torch.zeros(job.batch, length, dtype=torch.int64, device=job.seed_B.device)
    if job.given.prefix is None:
        return ids_BL, None
    (ids_BP,), known_BP = job.given.prefix.data, job.given.prefix.known_BL
    known_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    known_BL[:, : ids_BP.shape[1]] = True if known_BP is None else known_BP
    ids_BL[:, : ids_BP.shape[1]] = ids_BP
    return ids_BL.masked_fill(~known_BL, 0), known_BL


def _leading(known_BL: Tensor | None) -> int:
    """Codes that every picture knows before the first that one does not."""
    return 0 if known_BL is None else int(known_BL.all(0).long().cumprod(0).sum())


def keep(state: SequenceState, unit: Unit, ids_Bn: Tensor) -> None:
    """Note the ids of a unit; those that were given stand."""
    place = slice(unit.made.start, unit.made.stop)
    if state.known_BL is not None:
        ids_Bn = torch.where(state.known_BL[:, place], state.ids_BL[:, place], ids_Bn)
    state.ids_BL[:, place] = ids_Bn
