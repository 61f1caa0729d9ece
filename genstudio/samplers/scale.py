"""The walk over scales (VAR, NFIG, Infinity): every step feeds the latent so far and makes a whole code map.

Null rows run whenever some unit needs them, because their keys must be in the cache for later scales; their
head is left out where the weight is 1. The last scale is a look: nothing sees its keys but itself. Leading
scales that are known go in with the first one that is not, in one pass.
Shapes: B pictures, R rows (B, or 2B = [given | null]), n slots of a scale, C code width, D width.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from genstudio.cache.protocol import Cache
from genstudio.samplers.orders import ScaleOrder
from genstudio.samplers.picks import Emitted, Picks, Soft, guided_logits
from genstudio.samplers.values import ALL, Blocks, Codes, Cond, Feed, Full, Given, Unit
from genstudio.samplers.walk import Job
from genstudio.tokenizers.protocol import Pyramid


class Trunk(Protocol):
    """The network of a next-scale method."""

    @property
    def order(self) -> ScaleOrder: ...
    def condition(self, given: Given, null: bool) -> Cond: ...
    def embed(self, features_RnC: Tensor) -> Tensor: ...
    def forward(
        self, x_RnD: Tensor, feed: Feed, cond: Cond, cache: Cache | None = None, span: slice = ALL
    ) -> Tensor: ...
    def logits(self, h_RnD: Tensor, cond: Cond) -> Tensor: ...


@dataclass
class ScaleState:
    """Where B pictures stand: the condition, the cache, the latent so far, the code maps made.

    `ahead` are the features of scales that were not fed yet; `fed` counts scales that were.
    """

    job: Job
    cond: Cond
    cache: Cache
    units: tuple[Unit, ...]
    f_BChw: Tensor
    ids: list[Tensor] = field(default_factory=list)
    ahead: list[Tensor] = field(default_factory=list)
    scale: int = 0
    fed: int = 0
    done: int = 0
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.scale == len(self.units)


class ScaleWalk:
    """Coarse to fine, one scale per `advance`.

    With `unmasked` the scales that were known before see each other as they go in, which those that are made
    one by one never do: so Distilled Decoding's numbers with a teacher were made.
    """

    def __init__(self, trunk: Trunk, pyramid: Pyramid, unmasked: bool = False) -> None:
        self.trunk, self.pyramid, self.unmasked = trunk, pyramid, unmasked

    @property
    def total(self) -> int:
        return self.trunk.order.codes

    def start(self, job: Job) -> ScaleState:
        """The empty picture, or what is known of it: the condition is computed here, once."""
        units = self.trunk.order.units()[: job.until]
        null = job.always_null or any(job.weight(unit) != 1 for unit in units)
        cond = self.trunk.condition(job.given, null)
        kept = self.trunk.order.kept
        cache = job.cache(cond.start_RTD.shape[0], kept, self.trunk.order.slots - kept)
        state = ScaleState(job, cond, cache, units, self.pyramid.start(job.batch))
        for ids_Bn in _leading(job.given.prefix)[: len(units)]:
            self._stand(state, Emitted(self.pyramid.lookup(ids_Bn), ids_Bn))
        return state

    def advance(self, state: ScaleState) -> None:
        """Make the next scale of every picture."""
        job, unit = state.job, state.units[state.scale]
        h_RnD = self._look(state, unit)
        state.cache.commit(0 if unit.fed.stop > self.trunk.order.kept else h_RnD.shape[1])
        h_RnD = h_RnD[:, -len(unit.fed) :]
        logits_BnV = guided_logits(self.trunk, h_RnD, state.cond, job.weight(unit), job)
        self._stand(state, self._keep(self._emit(logits_BnV, unit, job), unit, state))

    def codes(self, state: ScaleState) -> Codes:
        """The code maps so far, or the latent where smoothed vectors have no ids."""
        if state.job.recipe.smooth:
            return Codes("latents", (state.f_BChw,))
        return Codes("scales", tuple(state.ids))

    def _look(self, state: ScaleState, unit: Unit) -> Tensor:
        """Hidden states [R,n,D] of what was not fed yet, the unit's own last; both halves of a guided batch
        see the same maps."""
        parts = [state.cond.spread(self.trunk.embed(torch.cat(state.ahead, dim=1)))] if state.ahead else []
        x_RnD = torch.cat([*([] if state.fed else [state.cond.start_RTD]), *parts], dim=1)
        sizes = tuple(len(one.fed) for one in state.units[state.fed : state.scale + 1])
        at_1n = torch.arange(unit.fed.stop - sum(sizes), unit.fed.stop, device=x_RnD.device)[None]
        state.ahead, state.fed = [], state.scale + 1
        mask = Full() if self.unmasked or len(sizes) == 1 else Blocks(sizes)
        return self.trunk.forward(x_RnD, Feed(at_1n, mask), state.cond, state.cache)

    def _stand(self, state: ScaleState, made: Emitted) -> None:
        """Codes of the next scale are known now: what follows reads the latent with them."""
        state.f_BChw = self.pyramid.add(state.f_BChw, made.vectors_BnC, state.scale)
        if made.ids_Bn is not None:
            state.ids.append(made.ids_Bn)
        state.done, state.scale = state.units[state.scale].made.stop, state.scale + 1
        if not state.finished:
            state.ahead.append(self.pyramid.feed(state.f_BChw, state.scale))

    def _emit(self, logits_BnV: Tensor, unit: Unit, job: Job) -> Emitted:
        emitter = Soft() if job.recipe.smooth else Picks()
        return emitter.emit(logits_BnV, unit, self.pyramid, job)

    def _keep(self, made: Emitted, unit: Unit, state: ScaleState) -> Emitted:
        """Codes that were known before stand instead of the emitted ones (VAR's zero-shot editing)."""
        given = state.job.given.prefix
        if given is None or given.known_BL is None or state.scale >= len(given.data):
            return made
        ids_Bn = given.data[state.scale]
        known_Bn = given.known_BL[:, unit.made.start : unit.made.stop]
        vectors_BnC = torch.where(known_Bn[..., None], self.pyramid.lookup(ids_Bn), made.vectors_BnC)
        return Emitted(
            vectors_BnC, None if made.ids_Bn is None else torch.where(known_Bn, ids_Bn, made.ids_Bn)
        )


def _leading(prefix: Codes | None) -> tuple[Tensor, ...]:
    """The first scales that are known whole; of a mask of places that is not asked."""
    return () if prefix is None or prefix.known_BL is not None else prefix.data
