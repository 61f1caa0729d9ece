"""Continuous speculative decoding of masked orders (CSpD, arXiv 2411.11925): a smaller network, or the same
one in fewer steps of its head, makes the tokens of a few units; the target denoises all of them once more, in
one pass and from the same noise, and every token is kept or redrawn by itself (`aligned`).

No setting has the law of plain sampling, so that both modes are lossy:
- The target judges all drafts of a window from what was known before it, by the last unit's guidance. If it
  kept none, tokens of a window would still not see each other: the law of a plain walk of fewer units, which
  needs no draft. With a window of one unit this reason falls, the others do not.
- Densities are compared along two trajectories, the draft's where q leads the noise and the target's where p
  leads it. Accepted and redrawn tokens follow p together only if both are read along the one that is judged.
- The last step of a chain adds no noise, but its deviation is in the densities: a draft lies on its mean, and
  a redrawn token has noise that a plain one lacks.
`corrected` mends what can be without another algorithm: the spreads of the earlier steps stand the right way
round, and deviations are the true ones, so that a draft counts if the target all but agrees. `official` takes
deviations 42 times as wide, and its tokens are a mixture of both networks'.
Shapes: B pictures, L tokens in raster order, m tokens of a unit or a window, N = B m, C channels of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from genstudio.samplers.chains import chain_of
from genstudio.samplers.denoise import denoising
from genstudio.samplers.masked import (
    Masked,
    MaskedState,
    MaskedWalk,
    keep,
    look,
    made,
    places,
)
from genstudio.samplers.solve import Solved
from genstudio.samplers.speculate.account import Origin
from genstudio.samplers.speculate.aligned import Comparison
from genstudio.samplers.steps import Fixed
from genstudio.samplers.values import Codes, Cond, Unit
from genstudio.samplers.walk import Job


@dataclass
class ContinuousState:
    """Where B pictures stand: the target's state, the draft's condition and job; how every token came, and by
    which pass of the target."""

    plain: MaskedState
    cond: Cond
    job: Job
    origin_BL: Tensor
    pass_BL: Tensor
    passes: int = 0
    judged: int = 0
    accepted: int = 0
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.plain.finished

    @property
    def done(self) -> int:
        return self.plain.done


class Drafted(NamedTuple):
    """Drafts of a window, picture by picture in raster order: places [B,m], and what a chain says [N,C]."""

    place_Bm: Tensor
    solved: Solved


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousWalk:
    """A unit of the target's own per `advance` for as long as they are among the first `prefill` of all (one
    at least), then a window: it ends with a unit whose number `window` divides, or the last one.

    Both networks make tokens of the same latents. `head_steps` are those of the draft, None for the target's.
    """

    target: Masked
    draft: Masked
    comparison: Comparison = Comparison()
    window: int = 4
    prefill: float = 0.05
    head_steps: int | None = None

    @property
    def total(self) -> int:
        return self.target.order.codes

    def start(self, job: Job) -> ContinuousState:
        """All tokens masked but those that are given; both conditions are computed here, once."""
        plain = MaskedWalk(self.target).start(job)
        cond = self.draft.condition(job.given, null=len(plain.cond.start_RTD) > job.batch)
        origin_BL, pass_BL = (
            torch.zeros_like(plain.place_BL, dtype=kind) for kind in (torch.uint8, torch.int32)
        )
        return ContinuousState(plain, cond, self._drafting(job), origin_BL, pass_BL)

    def advance(self, state: ContinuousState) -> None:
        """A unit of the target, or a window of drafts and its ruling."""
        plain = state.plain
        first, last = plain.unit, len(plain.units) - 1
        if first <= len(plain.units) * self.prefill:
            seen = look(self.target, plain, plain.units[first])
            self._keep(state, seen.place_Bm, made(self.target, plain, seen).x)
        else:
            plain.unit = min(-(-first // self.window) * self.window, last)
            self._verify(state, self._draft(state, range(first, plain.unit + 1)))
        plain.unit += 1
        state.passes += 1
        self._tell(state)

    def codes(self, state: ContinuousState) -> Codes:
        """The latents, and which of their cells are known: those that the target has seen."""
        return MaskedWalk(self.target).codes(state.plain)

    def _drafting(self, job: Job) -> Job:
        """The same by the draft's own number of steps; the job itself where that is the target's."""
        head = denoising(job)
        if self.head_steps is None or self.head_steps == head.steps.most:
            return job
        own = replace(head, steps=Fixed(self.head_steps))
        return job._replace(recipe=replace(job.recipe, head=own))

    def _draft(self, state: ContinuousState, units: range) -> Drafted:
        """Make these units by the draft, on a copy of the target's state that is thrown away."""
        own = replace(state.plain, cond=state.cond, job=state.job)
        shared = shared_steps(state.plain.job, state.job)
        parts = []
        for own.unit in units:
            seen = look(self.draft, own, own.units[own.unit])
            solved = made(self.draft, own, seen, shared)
            keep(own, seen.place_Bm, solved.x)
            parts.append(Drafted(seen.place_Bm, solved))
        return _joined(parts)

    def _verify(self, state: ContinuousState, drafted: Drafted) -> None:
        """One pass of the target over the window, before which `unit` is that of its end; then the ruling."""
        plain, end = state.plain, state.plain.units[state.plain.unit]
        start = end.made.stop - drafted.place_Bm.shape[1]
        seen = look(self.target, plain, Unit(end.fed, range(start, end.made.stop), end.progress))
        target, draft = made(self.target, plain, seen), drafted.solved
        if state.job is not plain.job:  # chains of other steps have no spreads to compare: the target's hold
            draft = draft._replace(std=target.std, logstd_sum=target.logstd_sum)
        at = places(seen.place_Bm, plain.job)
        ruling = self.comparison.judge(drafted.solved.x, draft, target, at, plain.job.draws)
        state.judged += len(ruling.accepted_N)
        state.accepted += int(ruling.accepted_N.sum())
        origin_N = torch.where(ruling.accepted_N, Origin.ACCEPTED, Origin.REDRAWN)
        self._keep(state, seen.place_Bm, ruling.tokens_NC, origin_N.view_as(seen.place_Bm))

    def _keep(
        self, state: ContinuousState, place_Bm: Tensor, tokens_NC: Tensor, origin_Bm: Tensor | None = None
    ) -> None:
        """Note tokens, and how they came."""
        keep(state.plain, place_Bm, tokens_NC)
        if origin_Bm is not None:
            state.origin_BL.scatter_(1, place_Bm, origin_Bm.to(state.origin_BL.dtype))
        state.pass_BL.scatter_(1, place_Bm, state.passes)

    def _tell(self, state: ContinuousState) -> None:
        made_later = int((state.pass_BL[0] > 0).sum())
        state.stats = {
            "passes": state.passes,
            "codes_per_pass": made_later / max(1, state.passes - 1),
            "acceptance": state.accepted / max(1, state.judged),
        }
        if (trace := state.plain.job.trace) is not None:
            trace("origins", state.origin_BL)
            trace("passes", state.pass_BL)


def shared_steps(target: Job, draft: Job) -> tuple[int, ...] | None:
    """Whose noise of the target's chain every step of a shorter one has: that at the same share of the way.
    None where the chains are one."""
    if draft is target:
        return None
    longer, shorter = (
        chain_of(head.chain, head.steps.most).steps - 1 for head in map(denoising, (target, draft))
    )
    return tuple(round(step * longer / max(1, shorter)) for step in range(shorter))


def _joined(parts: Sequence[Drafted]) -> Drafted:
    """Units one behind the other become one window in raster order."""
    place_Bm, order_Bm = torch.cat([part.place_Bm for part in parts], dim=1).sort(dim=1)

    def joined(values: Sequence[Tensor]) -> Tensor:
        units = [rearrange(value_NC, "(B m) C -> B m C", B=len(place_Bm)) for value_NC in values]
        return torch.take_along_dim(torch.cat(units, dim=1), order_Bm[..., None], 1).flatten(0, 1)

    fields = zip(*(part.solved for part in parts), strict=True)
    return Drafted(place_Bm, Solved(*map(joined, fields)))
