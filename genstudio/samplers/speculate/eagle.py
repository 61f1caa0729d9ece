"""EAGLE's drafter as proposer, whatever its tree (EAGLE-2; in LANTERN, arXiv 2410.03355).

The drafter reads every code with the target's features of the slot that made it. For drafts it reads its own
features instead, level by level; all levels so far are fed at once, as a look. The padding of a caption is
read as the official float32 code makes it, whose target does not let padding see itself.
Shapes: B pictures, R rows (B, or 2B = [given | null]), T condition slots, n fed drafts or codes, j drafts of
one level, C width, V codes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.cache.protocol import Cache
from genstudio.generators.drafter import Drafter
from genstudio.samplers import filters
from genstudio.samplers.picks import guided_logits
from genstudio.samplers.sequence import Trunk
from genstudio.samplers.speculate.laws import Units
from genstudio.samplers.speculate.proposal import Proposal
from genstudio.samplers.speculate.proposers import Round, Seen
from genstudio.samplers.values import Causal, Cond, Dense, Feed, Mask
from genstudio.samplers.walk import CacheMaker, Job


class Target(Trunk, Protocol):
    """A network whose features are hidden states behind a last norm, read by a head (LlamaGen)."""

    @property
    def norm(self) -> Callable[[Tensor], Tensor]: ...
    @property
    def head(self) -> Callable[[Tensor], Tensor]: ...


@dataclass
class Reading:
    """The drafter's side of a run: its cache, how many codes of every picture that holds, and the target's
    features of the slots that made the codes behind (None: nothing is read yet, not even the condition)."""

    job: Job
    cond: Cond
    cache: Cache
    units: Units
    read_B: Tensor
    features_RnC: Tensor | None = None


class Fed(NamedTuple):
    """Drafts the drafter reads: ids, the features that they follow, which of the nodes in front of them they
    continue ([B, n, n], True for themselves and all above), and their level, 1 behind the last known code."""

    ids_Bn: Tensor
    features_RnC: Tensor
    above_Bnn: Tensor
    level_n: Tensor


@dataclass(frozen=True, kw_only=True)
class Eagle(ABC):
    """What both trees share: reading what is known, and looking ahead. `cache` makes the drafter's caches
    (rows may differ in length)."""

    target: Target
    drafter: Drafter
    cache: CacheMaker

    @property
    @abstractmethod
    def nodes(self) -> int: ...

    @property
    @abstractmethod
    def fed(self) -> int:
        """The most drafts that are fed at once."""

    @abstractmethod
    def grow(self, memory: Reading, feature_R1C: Tensor, now: Round) -> Proposal:
        """A tree behind the last known code, whose own slot has these features."""

    def start(self, job: Job, cond: Cond) -> Reading:
        room = self.target.order.slots + 1 + self.fed
        cache = self.cache(len(cond.start_RTD), room, 0)
        units = Units.of(self.target.order, job)
        return Reading(job, cond, cache, units, torch.zeros_like(job.seed_B))

    def propose(self, memory: Reading, now: Round) -> Proposal:
        """Read the codes that are new, then draft."""
        return self.grow(memory, self._read(memory, now), now)

    def learn(self, memory: Reading, seen: Seen) -> None:
        """The features behind the accepted nodes are those of the slots that made the new codes."""
        path_Rd = seen.verdict.path_Rd.clamp(min=0)
        path_Rd = path_Rd.repeat(len(seen.hidden_RmD) // len(path_Rd), 1)
        hidden_RdC = seen.hidden_RmD.gather(1, path_Rd[..., None].expand(-1, -1, seen.hidden_RmD.shape[2]))
        memory.features_RnC = self.target.norm(hidden_RdC)

    def _read(self, memory: Reading, now: Round) -> Tensor:
        """Feed what is not read yet; the drafter's features [R,1,C] of the last known code."""
        made_B, text = now.standing.made_R, self.drafter.config.condition_slots - 1
        if (features_RnC := memory.features_RnC) is None:
            features_RnC = self._first_features(memory, now)
            memory.read_B = torch.full_like(made_B, -text)
        self._drop_null_rows(memory, len(features_RnC))
        place_n = torch.arange(features_RnC.shape[1], device=made_B.device)
        code_Bn = memory.read_B[:, None] + place_n
        ids_Bn = torch.where(code_Bn < 0, 0, now.ids_BN.gather(1, code_Bn.clamp(min=0)))
        spread = memory.cond.spread
        feed = Feed(spread(self._slots(code_Bn)), Causal())
        h_RnC = self.drafter(spread(ids_Bn), features_RnC, feed, memory.cache)
        count_R = spread(made_B - memory.read_B)
        memory.cache.commit(count_R)
        memory.read_B = made_B
        last_R = (count_R - 1).clamp(min=0)
        return h_RnC[torch.arange(len(h_RnC), device=last_R.device), last_R][:, None]

    def _first_features(self, memory: Reading, now: Round) -> Tensor:
        """The target's features of the condition and of all known codes but the last, by a pass of its own,
        since the walk's lets padding see itself."""
        codes_Bn = now.ids_BN[:, : now.known[0] - 1]
        return target_features(self.target, memory.cond.spread(codes_Bn), memory.cond)

    def look(self, memory: Reading, fed: Fed, now: Round) -> Tensor:
        """The drafter's features [R,n,C] of drafts; nothing of it is kept."""
        code_Bn = now.standing.made_R[:, None] - 1 + fed.level_n
        spread = memory.cond.spread
        feed = Feed(spread(self._slots(code_Bn)), Dense(spread(fed.above_Bnn)))
        h_RnC = self.drafter(spread(fed.ids_Bn), fed.features_RnC, feed, memory.cache)
        memory.cache.commit(0)
        return h_RnC

    def log_law(self, memory: Reading, feature_RnC: Tensor, code_Bn: Tensor) -> Tensor:
        """log q behind slots with these features [B,n,V]; `code_Bn` are the codes that they make."""
        weight = memory.units.weights(code_Bn)
        job = memory.job._replace(trace=None)
        logits_BnV = guided_logits(_Head(self.target.head), feature_RnC, memory.cond, weight, job)
        return filters.apply(job.recipe.filters, logits_BnV).log_softmax(-1)

    def _slots(self, code_Bn: Tensor) -> Tensor:
        """Where codes stand; those of the condition have negative numbers. No draft behind the last code
        counts, wherever it is put."""
        text = self.drafter.config.condition_slots - 1
        return text + code_Bn.clamp(max=self.target.order.codes - 1)

    def _drop_null_rows(self, memory: Reading, rows: int) -> None:
        if rows < len(memory.cond.start_RTD):
            kept = torch.arange(rows, device=memory.read_B.device)
            memory.cond, memory.cache = memory.cond.take(kept), memory.cache.take(kept)


def target_features(target: Target, ids_Rn: Tensor, cond: Cond) -> Tensor:
    """What a drafter reads: the target's features [R,T+n,C] of the condition and of known codes behind it."""
    x_RnD = torch.cat([cond.start_RTD, target.embed(ids_Rn)], dim=1)
    at_1n = torch.arange(x_RnD.shape[1], device=x_RnD.device)[None]
    feed = Feed(at_1n, padded_mask(cond.open_RT, x_RnD.shape[1]))
    return target.norm(target.forward(x_RnD, feed, cond))


def first_level(ids_Bn: Tensor, features_RnC: Tensor) -> Fed:
    """Drafts behind the last known code: they see each but themselves."""
    own_nn = torch.eye(ids_Bn.shape[1], dtype=torch.bool, device=ids_Bn.device)
    return Fed(ids_Bn, features_RnC, own_nn.repeat(len(ids_Bn), 1, 1), torch.ones_like(ids_Bn[0]))


def next_level(fed: Fed, ids_Bj: Tensor, h_RnC: Tensor, parent_Bj: Tensor) -> Fed:
    """One level more: every draft reads the drafter's features of its parent, and sees what that sees."""
    new, rows = ids_Bj.shape[1], len(h_RnC) // len(ids_Bj)
    parent_Rj1 = parent_Bj.repeat(rows, 1)[..., None]
    features_RjC = h_RnC.gather(1, parent_Rj1.expand(-1, -1, h_RnC.shape[2]))
    above_Bjn = fed.above_Bnn.gather(1, parent_Bj[..., None].expand(-1, -1, fed.above_Bnn.shape[2]))
    own_Bjj = torch.eye(new, dtype=torch.bool, device=ids_Bj.device).repeat(len(ids_Bj), 1, 1)
    return Fed(
        torch.cat([fed.ids_Bn, ids_Bj], dim=1),
        torch.cat([fed.features_RnC, features_RjC], dim=1),
        torch.cat([F.pad(fed.above_Bnn, (0, new)), torch.cat([above_Bjn, own_Bjj], dim=2)], dim=1),
        torch.cat([fed.level_n, (fed.level_n[-1:] + 1).expand(new)]),
    )


def padded_mask(open_RT: Tensor | None, slots: int) -> Mask:
    """Who sees whom in the official float32 pass over a condition with padding in front and codes behind it.

    The lowest float32 number is added for padding and for what lies behind; added twice it is -inf. So an
    open slot sees the open ones up to itself, while a padded one sees the padding up to itself and what is
    open in the condition behind it, all alike.
    """
    if open_RT is None:
        return Causal()
    slot_n = torch.arange(slots, device=open_RT.device)
    open_Rn = F.pad(open_RT, (0, slots - open_RT.shape[1]), value=True)[:, None, :]
    before_nn, text_n = slot_n[:, None] >= slot_n, slot_n < open_RT.shape[1]
    seen_by_padding_Rnn = torch.where(before_nn, ~open_Rn, open_Rn & text_n)
    return Dense(torch.where(open_Rn.transpose(1, 2), open_Rn & before_nn, seen_by_padding_Rnn))


class _Head:
    """The target's head, for features that its norm is behind already."""

    def __init__(self, head: Callable[[Tensor], Tensor]) -> None:
        self.head = head

    def logits(self, h_RnC: Tensor, cond: Cond) -> Tensor:
        del cond
        return self.head(h_RnC).float()
