"""A smaller network of the same codes as proposer (speculative decoding; SpecTr with several chains).

Its own cache holds what is known; every round it catches up with what was accepted, in one call, and then
draws `chains` sequences side by side, one code at a time, on copies of the cache that are thrown away. The
same recipe holds for both networks, so that p and q are laws after guidance and filters.
Shapes: B pictures, K chains, R rows (B or B K, null rows behind), n fed codes, m = 1 + K length nodes, L
codes of a picture, V codes.
"""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from genstudio.cache.protocol import Cache
from genstudio.samplers.draws import Use
from genstudio.samplers.picks import guided_logits, law
from genstudio.samplers.sequence import Trunk
from genstudio.samplers.speculate.laws import Units
from genstudio.samplers.speculate.proposal import Proposal
from genstudio.samplers.speculate.proposers import Round, Seen
from genstudio.samplers.speculate.tree import chains
from genstudio.samplers.values import Cond, Feed
from genstudio.samplers.walk import CacheMaker, Job


@dataclass
class Drafting:
    """The draft network's side of a run: its condition, its cache, and how many codes of every picture that
    holds (None: not even the condition)."""

    job: Job
    cond: Cond
    cache: Cache
    units: Units
    read: list[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftModel:
    """`count` chains of `length` codes from `trunk`, whose caches `cache` makes (rows may differ in length).

    `coupled` draws with the noise of the place itself, which the target's race uses too: for the exact race,
    which then accepts where both networks have the same winner. More than one chain would be the same one.
    """

    trunk: Trunk
    cache: CacheMaker
    length: int
    count: int = 1
    coupled: bool = False

    @property
    def nodes(self) -> int:
        return 1 + self.count * self.length

    def start(self, job: Job, cond: Cond) -> Drafting:
        """The draft's own condition; null rows where the target has them."""
        null = len(cond.start_RTD) > job.batch
        own = self.trunk.condition(job.given, null=null)
        room = self.trunk.order.slots + self.nodes
        cache = self.cache(len(own.start_RTD), room, 0)
        return Drafting(job, own, cache, Units.of(self.trunk.order, job))

    def propose(self, memory: Drafting, now: Round) -> Proposal:
        """Draw every chain code by code (DRAFT: code, chain)."""
        q_NV = self._catch_up(memory, now).repeat_interleave(self.count, dim=0)
        fork = _forked(memory, self.count)
        ids, laws = [], []
        for ahead in range(self.length):
            ids_N = self._draw(q_NV, ahead, now)
            ids.append(rearrange(ids_N, "(B K) -> B K", K=self.count))
            laws.append(rearrange(q_NV, "(B K) V -> B K V", K=self.count))
            if ahead + 1 < self.length:
                made_N = now.standing.made_R.repeat_interleave(self.count) + ahead
                q_NV = self._step(fork, ids_N[:, None], made_N[:, None])
        last_B = now.last_B
        ids_Bm = torch.cat([last_B[:, None], *ids], dim=1)
        q_BmV = torch.cat([torch.zeros_like(laws[0][:, :1]), *laws], dim=1)
        return Proposal(ids_Bm, chains(self.count, self.length, last_B.device), q_BmV)

    def learn(self, memory: Drafting, seen: Seen) -> None:
        """Nothing: what was accepted is read from the codes."""

    def _draw(self, q_NV: Tensor, ahead: int, now: Round) -> Tensor:
        chain_K = torch.arange(self.count, device=q_NV.device)
        ahead_K = torch.full_like(chain_K, ahead)
        if self.coupled:
            return now.draws.pick(Use.TOKEN, now.standing.places(ahead_K), q_NV)
        return now.draws.pick(Use.DRAFT, now.standing.places(ahead_K, chain_K), q_NV)

    def _catch_up(self, memory: Drafting, now: Round) -> Tensor:
        """Feed what became known since, in front of all the condition; the law behind it [B, V]."""
        total, made_B = self.trunk.order.codes, now.standing.made_R
        first = int(memory.units.slot_L[0]) + 1 if memory.read is None else 0
        read = memory.read or [0] * len(now.known)
        wanted = [min(known, total - 1) for known in now.known]  # the last code is never fed
        new = [there - before for there, before in zip(wanted, read, strict=True)]
        place_n = torch.arange(max(new), device=made_B.device)
        code_Bn = torch.tensor(read, device=made_B.device)[:, None] + place_n
        x_RnD = self.trunk.embed(memory.cond.spread(now.ids_BN.gather(1, code_Bn)))
        open_Rn = None
        at_Bn = memory.units.slots(code_Bn + 1)
        if first:
            x_RnD = torch.cat([memory.cond.start_RTD, x_RnD], dim=1)
            open_Rn = memory.cond.open_through(x_RnD.shape[1])
            at_T = torch.arange(first, device=made_B.device).expand(len(made_B), -1)
            at_Bn = torch.cat([at_T, at_Bn], dim=1)
        feed = Feed(memory.cond.spread(at_Bn), self.trunk.order.mask(), open_Rn)
        h_RnD = self.trunk.forward(x_RnD, feed, memory.cond, memory.cache)
        count_B = first + torch.tensor(new, device=made_B.device)
        memory.cache.commit(memory.cond.spread(count_B))
        memory.read = wanted
        last_R = memory.cond.spread((count_B - 1).clamp(min=0))
        h_R1D = h_RnD[torch.arange(len(h_RnD), device=last_R.device), last_R][:, None]
        return self._law(memory, h_R1D, made_B[:, None])

    def _step(self, fork: Drafting, ids_N1: Tensor, code_N1: Tensor) -> Tensor:
        """Feed one more code of every chain; the law behind it [B K, V]."""
        x_R1D = self.trunk.embed(fork.cond.spread(ids_N1))
        feed = Feed(fork.cond.spread(fork.units.slots(code_N1 + 1)))
        h_R1D = self.trunk.forward(x_R1D, feed, fork.cond, fork.cache)
        fork.cache.commit(1)
        return self._law(fork, h_R1D, code_N1 + 1)

    def _law(self, drafting: Drafting, h_R1D: Tensor, code_N1: Tensor) -> Tensor:
        job = drafting.job
        weight = drafting.units.weights(code_N1)
        logits_N1V = guided_logits(self.trunk, h_R1D, drafting.cond, weight, job._replace(trace=None))
        return law(logits_N1V[:, 0], job.recipe)


def _forked(drafting: Drafting, count: int) -> Drafting:
    """The same for `count` chains of every picture."""
    job = drafting.job._replace(seed_B=drafting.job.seed_B.repeat_interleave(count))
    rows = torch.arange(len(drafting.cond.start_RTD), device=job.seed_B.device).repeat_interleave(count)
    return replace(drafting, job=job, cond=drafting.cond.take(rows), cache=drafting.cache.take(rows))
