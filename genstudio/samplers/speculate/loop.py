"""The one draft-verify loop: propose, one look of the target over all drafts, judge, commit, emit.

It wraps the walk along a sequence and makes what that walk makes, in fewer passes of the network. Who drafts
and who judges are arguments; the judge alone decides what the codes promise (`exactness`). Every picture
advances by its own number of codes, and one that is complete keeps still.
Shapes: B pictures, R rows (B, or 2B = [given | null]), m nodes of a proposal, L codes of a picture, N = L and
room behind it, d codes emitted, D width, V codes.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.samplers.picks import guided_logits, law
from genstudio.samplers.sequence import SequenceState, SequenceWalk, Trunk, drop_null_rows
from genstudio.samplers.speculate.account import Origin
from genstudio.samplers.speculate.judges import last_node
from genstudio.samplers.speculate.laws import Units
from genstudio.samplers.speculate.proposal import Judge, Proposal, Standing, Verdict
from genstudio.samplers.speculate.proposers import Proposer, Round, Seen
from genstudio.samplers.values import Codes, Dense, Feed, Mask
from genstudio.samplers.walk import Job


@dataclass
class SpeculativeState:
    """Where B pictures stand. `plain` is the state of the wrapped walk (condition, cache, given codes),
    `memory` the proposer's; `ids_BN` and `made_B` are the codes and how many there are, `known` the same
    numbers on the host. `origin_BN` says how every code came, `pass_BN` by which pass of the network.

    Statistics: `passes` of the network; `accepted` drafts and `codes_per_pass`, both per picture and round;
    `acceptance`, the share of judged places whose draft was accepted.
    """

    plain: SequenceState
    memory: Any
    units: Units
    ids_BN: Tensor
    origin_BN: Tensor
    pass_BN: Tensor
    made_B: Tensor
    known: list[int]
    passes: int = 0
    rounds: int = 0
    emitted: int = 0
    accepted: int = 0
    refused: int = 0
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Codes that are to be made."""
        return len(self.plain.units)

    @property
    def done(self) -> int:
        return min(self.known)

    @property
    def finished(self) -> bool:
        return self.done == self.end


class SpeculativeWalk:
    """As many codes per `advance` as the judge accepts, and one more. The first code is the plain walk's.

    Orders have to make one code per unit, and `Job.cache` rows that may differ in length (`RaggedCache`).
    """

    def __init__(self, trunk: Trunk, proposer: Proposer, judge: Judge) -> None:
        self.trunk, self.proposer, self.judge = trunk, proposer, judge
        self.plain = SequenceWalk(trunk)

    @property
    def total(self) -> int:
        return self.plain.total

    def start(self, job: Job) -> SpeculativeState:
        """The codes that are given; the cache has room for the proposer's nodes."""
        nodes = self.proposer.nodes
        roomy = job._replace(cache=lambda rows, capacity, look: job.cache(rows, capacity + look + nodes, 0))
        plain = self.plain.start(roomy)
        memory = self.proposer.start(job, plain.cond)
        ids_BN = F.pad(plain.ids_BL, (0, nodes + 1))
        made_B = torch.full_like(job.seed_B, plain.unit)
        units = Units.of(self.trunk.order, job)
        origin_BN, pass_BN = (torch.zeros_like(ids_BN, dtype=kind) for kind in (torch.uint8, torch.int32))
        known = [plain.unit] * job.batch
        return SpeculativeState(plain, memory, units, ids_BN, origin_BN, pass_BN, made_B, known)

    def advance(self, state: SpeculativeState) -> None:
        """The first code by the plain walk, then a round."""
        if state.passes == 0 and self._begin(state):
            return
        if state.done >= state.plain.guided:
            drop_null_rows(state.plain)
        job = state.plain.job
        standing, proposal = self.draft(state)
        hidden_RmD, p_BmV = self._look(state, proposal)
        verdict = self.judge.judge(p_BmV, proposal, job.draws, standing)
        self._commit(state, verdict)
        self._emit(state, proposal, verdict)
        self.proposer.learn(state.memory, Seen(hidden_RmD, p_BmV, proposal, verdict))
        _tell(state, proposal, verdict)

    def draft(self, state: SpeculativeState) -> tuple[Standing, Proposal]:
        """Where the pictures stand, and drafts for the places behind."""
        job = state.plain.job
        standing = Standing(job.seed_B, state.made_B, torch.full_like(state.made_B, state.passes))
        now = Round(standing, state.ids_BN, tuple(state.known), state.end, job.draws)
        return standing, _bounded(self.proposer.propose(state.memory, now), standing, state.end)

    def codes(self, state: SpeculativeState) -> Codes:
        """The ids [B,L], and which of them are known."""
        ids_BL = state.ids_BN[:, : self.total]
        if state.done == self.total:
            return Codes("ids", (ids_BL,))
        known_BL = torch.arange(self.total, device=ids_BL.device) < state.made_B[:, None]
        given_BL = state.plain.known_BL
        known_BL = known_BL if given_BL is None else known_BL | given_BL
        return Codes("ids", (torch.where(known_BL, ids_BL, 0),), known_BL)

    def _begin(self, state: SpeculativeState) -> bool:
        """Feed the condition and what is known but for its last code; whether that made the first code."""
        plain = state.plain
        state.passes = 1
        if plain.unit:
            h_RnD = self.plain.feed(plain, plain.units[plain.unit - 1])
            plain.cache.commit(h_RnD.shape[1])
            return False
        self.plain.advance(plain)
        state.ids_BN[:, 0], state.made_B, state.known = (
            plain.ids_BL[:, 0],
            state.made_B + 1,
            [1] * len(state.known),
        )
        return True

    def _look(self, state: SpeculativeState, proposal: Proposal) -> tuple[Tensor, Tensor]:
        """Features [R,m,D] and laws [B,m,V] behind every node, from one pass of the network."""
        plain, cond = state.plain, state.plain.cond
        code_Bm = (state.made_B[:, None] + proposal.tree.level_Rm).clamp(max=self.total - 1)
        feed = Feed(cond.spread(state.units.slots(code_Bm)), _mask(proposal, cond.start_RTD.shape[0]))
        x_RmD = self.trunk.embed(cond.spread(proposal.ids_Rm.clamp(min=0)))
        h_RmD = self.trunk.forward(x_RmD, feed, cond, plain.cache)
        weight = state.units.weights(code_Bm)
        p_BmV = law(guided_logits(self.trunk, h_RmD, cond, weight, plain.job), plain.job.recipe)
        return h_RmD, _forced(p_BmV, code_Bm, plain)

    def _commit(self, state: SpeculativeState, verdict: Verdict) -> None:
        """Keep the accepted nodes, but never the last code of a picture, which is not fed."""
        ahead_d = torch.arange(verdict.path_Rd.shape[1], device=state.made_B.device)
        fed_Bd = state.made_B[:, None] - 1 + ahead_d < state.end - 1
        path_Bd = torch.where(fed_Bd, verdict.path_Rd, -1)
        state.plain.cache.commit(state.plain.cond.spread(path_Bd))

    def _emit(self, state: SpeculativeState, proposal: Proposal, verdict: Verdict) -> None:
        """Write the new codes and how they came; what a complete picture is told lies behind its end."""
        new_Bd, refused_B = verdict.emitted(proposal.ids_Rm), _refused(proposal, verdict)
        ahead_d = torch.arange(new_Bd.shape[1], device=new_Bd.device)
        drawn_B1 = torch.where(refused_B, Origin.REDRAWN, Origin.PLAIN)[:, None]
        origin_Bd = torch.where(ahead_d < verdict.accepted_R[:, None], Origin.ACCEPTED, drawn_B1)
        place_Bd, there_Bd = state.made_B[:, None] + ahead_d, new_Bd >= 0
        _put(state.ids_BN, place_Bd, new_Bd, there_Bd)
        _put(state.origin_BN, place_Bd, origin_Bd, there_Bd)
        _put(state.pass_BN, place_Bd, torch.full_like(place_Bd, state.passes), there_Bd)
        state.made_B = (state.made_B + verdict.accepted_R + 1).clamp(max=state.end)
        known, accepted, refused = torch.stack([state.made_B, verdict.accepted_R, refused_B]).tolist()
        self._count(state, known, sum(accepted), sum(refused))

    def _count(self, state: SpeculativeState, known: list[int], accepted: int, refused: int) -> None:
        """The numbers of a round."""
        state.passes += 1
        state.rounds += sum(before < state.end for before in state.known)
        state.emitted += sum(known) - sum(state.known)
        state.accepted += accepted
        state.refused += refused
        state.known = known
        codes_per_pass = state.emitted / state.rounds
        state.stats = {
            "passes": state.passes,
            "accepted": codes_per_pass - 1,
            "codes_per_pass": codes_per_pass,
            "acceptance": state.accepted / max(1, state.accepted + state.refused),
        }


def _bounded(proposal: Proposal, standing: Standing, end: int) -> Proposal:
    """Without drafts for places behind the last code."""
    code_Bm = standing.made_R[:, None] - 1 + proposal.tree.level_Rm
    outside_Bm = (code_Bm >= end) & (proposal.tree.level_Rm > 0)
    return proposal._replace(ids_Rm=proposal.ids_Rm.masked_fill(outside_Bm, -1))


def _mask(proposal: Proposal, rows: int) -> Mask:
    """Who sees whom, once more for the null rows where trees differ from picture to picture."""
    mask = proposal.tree.mask()
    if isinstance(mask, Dense) and len(mask.allow) > 1:
        return Dense(mask.allow.repeat(rows // len(mask.allow), 1, 1))
    return mask


def _forced(p_BmV: Tensor, code_Bm: Tensor, plain: SequenceState) -> Tensor:
    """Places whose code is given have a law that allows no other."""
    if plain.known_BL is None:
        return p_BmV
    given_BmV = F.one_hot(plain.ids_BL.gather(1, code_Bm), p_BmV.shape[-1]).to(p_BmV.dtype)
    return torch.where(plain.known_BL.gather(1, code_Bm)[..., None], given_BmV, p_BmV)


def _refused(proposal: Proposal, verdict: Verdict) -> Tensor:
    """Whether the code behind the path stands in for drafts that were refused there, [B]."""
    below_Bm = proposal.tree.parent_Rm == last_node(verdict.path_Rd)[:, None]
    return (below_Bm & (proposal.ids_Rm >= 0)).any(1)


def _put(values_BN: Tensor, place_Bd: Tensor, new_Bd: Tensor, there_Bd: Tensor) -> None:
    """Write what is there, keep the rest."""
    old_Bd = values_BN.gather(1, place_Bd)
    values_BN.scatter_(1, place_Bd, torch.where(there_Bd, new_Bd.to(values_BN.dtype), old_Bd))


def _tell(state: SpeculativeState, proposal: Proposal, verdict: Verdict) -> None:
    trace = state.plain.job.trace
    if trace is not None:
        trace("drafts", proposal.ids_Rm)
        trace("parents", proposal.tree.parent_Rm)
        trace("path", verdict.path_Rd)
        trace("law", verdict.law_RV)
        trace("origins", state.origin_BN[:, : state.end])
        trace("passes", state.pass_BN[:, : state.end])
