"""Who drafts: what a proposer is, and the target itself as one (Jacobi windows; SJD, arXiv 2410.01699).

A proposer keeps what it learns from every look of the target in a memory of its own, so that proposers and
judges can be combined freely. Jacobi windows cost nothing beside the target: what it drew behind the refused
place is a draft already, and the end of the window is filled by chance or by the neighbour on the left.
Differs from the official code: every picture has a window of its own.
Shapes: B pictures, m nodes of a proposal (node 0 is the last known code), k kept drafts, n drafts, N known
codes and room behind them, V codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.samplers.draws import Draws, Use
from genstudio.samplers.speculate.laws import behind
from genstudio.samplers.speculate.proposal import Proposal, Standing, Verdict
from genstudio.samplers.values import Cond
from genstudio.samplers.walk import Job

Scheme = Literal["random", "repeat_horizon", "sample_horizon"]


class Round(NamedTuple):
    """Before a look of the target: where the pictures stand, their codes (N is at least as many as they are),
    and as numbers of the host how many codes each of them knows and shall have."""

    standing: Standing
    ids_BN: Tensor
    known: Sequence[int]
    end: int
    draws: Draws

    @property
    def last_B(self) -> Tensor:
        """The last known code of every picture."""
        return self.ids_BN.gather(1, self.standing.made_R[:, None] - 1)[:, 0]


class Seen(NamedTuple):
    """After it: the target's features (null rows behind) and laws behind every node, what was proposed, and
    the verdict."""

    hidden_RmD: Tensor
    p_BmV: Tensor
    proposal: Proposal
    verdict: Verdict


class Proposer(Protocol):
    """Drafts for the places behind the last known code. `nodes` is the most that it proposes at once."""

    @property
    def nodes(self) -> int: ...
    def start(self, job: Job, cond: Cond) -> Any:
        """An empty memory for a run; `cond` is the target's."""
        ...

    def propose(self, memory: Any, now: Round) -> Proposal: ...
    def learn(self, memory: Any, seen: Seen) -> None: ...


@dataclass
class Kept:
    """What the last look left: drafts and the laws they were drawn from, -1 behind the last; the law of the
    last known code; how many codes every picture knew when it was proposed to last. None: no look yet."""

    ids_Bk: Tensor
    q_BkV: Tensor | None = None
    last_law_BV: Tensor | None = None
    before: Sequence[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jacobi:
    """Windows of `window` codes, the last known one included, over a vocabulary of `codes`.

    Fresh drafts are drawn from all codes (random), or copy the code on their left (repeat_horizon), or are
    the most likely code there (sample_horizon); where that is not known yet, the last known code stands for
    it, and the first of every `line` codes is drawn. Their law is one-hot however they were chosen.
    `interval` (first, stop) is the official rule: a window while first <= codes known before the last look
    < stop, and no longer than up to `stop`; else one code at a time.
    """

    codes: int
    line: int
    window: int = 16
    scheme: Scheme = "repeat_horizon"
    interval: tuple[int, int] | None = None

    @property
    def nodes(self) -> int:
        return self.window

    def start(self, job: Job, cond: Cond) -> Kept:
        del cond
        return Kept(job.seed_B.new_empty(job.batch, 0))

    def propose(self, memory: Kept, now: Round) -> Proposal:
        """Kept drafts, then fresh ones, for every picture as many as its own window holds."""
        before = memory.before or [0] * len(now.known)
        sizes = [self._size(*counts, now.end) for counts in zip(before, now.known, strict=True)]
        memory.before = now.known
        drafts, last_B = max(sizes) - 1, now.last_B
        place_n = torch.arange(drafts, device=last_B.device)
        there_Bn = place_n < torch.tensor(sizes, device=place_n.device)[:, None] - 1
        kept_Bn = F.pad(memory.ids_Bk, (0, self.window))[:, :drafts]
        is_kept_Bn = place_n < (memory.ids_Bk >= 0).sum(1, keepdim=True)
        ids_Bn = torch.where(is_kept_Bn, kept_Bn, self._fresh(memory, now, there_Bn & ~is_kept_Bn))
        ids_Bm = torch.cat([last_B[:, None], torch.where(there_Bn, ids_Bn, -1)], dim=1)
        return Proposal.window(ids_Bm, self._laws(memory, ids_Bm, is_kept_Bn))

    def learn(self, memory: Kept, seen: Seen) -> None:
        """Codes drawn behind refused drafts are drafts, the law behind them is theirs: the one behind node
        accepted + j foresees the code of the next window's node j."""
        verdict, count_B1 = seen.verdict, (seen.proposal.ids_Rm >= 0).sum(1, keepdim=True)
        if verdict.fresh_Rm is None:
            raise ValueError("Jacobi windows need a judge that draws a code behind every node.")
        node_k = torch.arange(1, verdict.fresh_Rm.shape[1], device=count_B1.device)
        node_Bk = verdict.accepted_R[:, None] + node_k
        there_Bk, node_Bk = node_Bk < count_B1, node_Bk.clamp(max=len(node_k))
        memory.ids_Bk = torch.where(there_Bk, verdict.fresh_Rm.gather(1, node_Bk), -1)
        memory.q_BkV = seen.p_BmV[torch.arange(len(node_Bk), device=node_Bk.device)[:, None], node_Bk]
        memory.last_law_BV = behind(seen.p_BmV, verdict.accepted_R)

    def _size(self, before: int, known: int, end: int) -> int:
        """Codes in a window: none but the last known one where nothing is left to draft."""
        longest = max(1, min(self.window, end - known))
        if self.interval is None:
            return longest
        first, stop = self.interval
        return min(longest, stop - before) if first <= before < stop else 1

    def _fresh(self, memory: Kept, now: Round, wanted_Bn: Tensor) -> Tensor:
        """Drafts for the places behind the kept ones, [B, n]; random ones are drawn in order
        (DRAFT: code)."""
        drafts = wanted_Bn.shape[1]
        kept_B1 = (memory.ids_Bk >= 0).sum(1, keepdim=True).clamp(max=drafts)
        place_n = torch.arange(drafts, device=kept_B1.device)
        random_N = now.draws.below(Use.DRAFT, now.standing.places(kept_B1 + place_n), self.codes)
        now.draws.spend(Use.DRAFT, wanted_Bn.sum())
        random_Bn = random_N.view_as(wanted_Bn).gather(1, (place_n - kept_B1).clamp(min=0))
        if self.scheme == "random":
            return random_Bn
        code_Bn = now.standing.made_R[:, None] + place_n
        return torch.where(code_Bn % self.line == 0, random_Bn, self._left(memory, now, kept_B1))

    def _left(self, memory: Kept, now: Round, kept_B1: Tensor) -> Tensor:
        """The last known code, kept drafts included, or the most likely one in its place, [B, 1]."""
        codes_Bk = torch.cat([now.last_B[:, None], memory.ids_Bk], dim=1)
        if self.scheme == "sample_horizon" and memory.q_BkV is not None and memory.last_law_BV is not None:
            laws_BkV = torch.cat([memory.last_law_BV[:, None], memory.q_BkV], dim=1)
            codes_Bk = laws_BkV.argmax(-1)
        return codes_Bk.gather(1, kept_B1)

    def _laws(self, memory: Kept, ids_Bm: Tensor, is_kept_Bn: Tensor) -> Tensor | None:
        """q of every node; None as long as all drafts are fresh."""
        if memory.q_BkV is None:
            return None
        drafts = is_kept_Bn.shape[1]
        chosen_BnV = F.one_hot(ids_Bm[:, 1:].clamp(min=0), self.codes).to(memory.q_BkV.dtype)
        kept_BnV = F.pad(memory.q_BkV, (0, 0, 0, self.window))[:, :drafts]
        return F.pad(torch.where(is_kept_Bn[..., None], kept_BnV, chosen_BnV), (0, 0, 1, 0))
