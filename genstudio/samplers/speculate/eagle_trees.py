"""The trees that EAGLE's drafter grows: the best drafts of a search, or a given tree of drawn ones.

`DynamicEagle` (EAGLE-2, LANTERN) follows the most probable codes of every level and keeps the drafts with the
best products of probabilities; they are chosen, so that q is one-hot. `StaticEagle` (LANTERN++) draws below
every node without replacement.
Shapes: B pictures, R rows (B, or 2B = [given | null]), n fed drafts, j nodes of one level, K codes that are
followed, i nodes that have children, t ids drawn below one of them, N candidates, C width, V codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from genstudio.samplers.draws import Use
from genstudio.samplers.speculate.eagle import Eagle, Reading, first_level, next_level
from genstudio.samplers.speculate.proposal import Proposal, drawn
from genstudio.samplers.speculate.proposers import Round
from genstudio.samplers.speculate.tree import StaticTree, best_nodes


@dataclass(frozen=True, kw_only=True)
class DynamicEagle(Eagle):
    """EAGLE-2: `count` drafts in all, the best of a search that follows the `best` most probable codes of
    every level, `depth` levels beyond the first."""

    count: int = 58
    depth: int = 4
    best: int = 10

    @property
    def nodes(self) -> int:
        return 1 + self.count

    @property
    def fed(self) -> int:
        return self.best * self.depth

    def grow(self, memory: Reading, feature_R1C: Tensor, now: Round) -> Proposal:
        """Candidates are the best codes behind every node that is followed; in the end all compete."""
        made_B1 = now.standing.made_R[:, None]
        top = self.log_law(memory, feature_R1C, made_B1).topk(self.best)
        found = _Candidates.first(top.indices[:, 0], top.values[:, 0])
        fed = first_level(found.ids_BN, feature_R1C.expand(-1, self.best, -1))
        for level in range(1, self.depth + 1):
            h_RnC = self.look(memory, fed, now)
            code_BK = (made_B1 + level).expand(-1, self.best)
            top = self.log_law(memory, h_RnC[:, -self.best :], code_BK).topk(self.best)
            found = found.below(top.indices, top.values)
            if level < self.depth:
                ids_BK, parent_BK = found.follow(self.best)
                fed = next_level(fed, ids_BK, h_RnC, parent_BK + h_RnC.shape[1] - self.best)
        chosen_Bn, tree = best_nodes(found.score_BN, found.above_BN, self.count, self.depth + 1, self.best)
        ids_Bn = found.ids_BN.gather(1, chosen_Bn)
        return Proposal(torch.cat([now.last_B[:, None], ids_Bn], dim=1), tree)


@dataclass
class _Candidates:
    """All candidates so far: ids, sums of log-probabilities, the candidate that each continues (-1: the last
    known code). `followed_BK` are those that were looked behind last, and `fresh` ones came of it."""

    ids_BN: Tensor
    score_BN: Tensor
    above_BN: Tensor
    followed_BK: Tensor
    fresh: int

    @staticmethod
    def first(ids_BK: Tensor, score_BK: Tensor) -> "_Candidates":
        """Behind the last known code; all are followed."""
        number_BK = torch.arange(ids_BK.shape[1], device=ids_BK.device).expand_as(ids_BK)
        return _Candidates(ids_BK, score_BK, torch.full_like(ids_BK, -1), number_BK, ids_BK.shape[1])

    def below(self, ids_BKK: Tensor, log_q_BKK: Tensor) -> "_Candidates":
        """With those behind the followed ones."""
        score_BKK = self.score_BN.gather(1, self.followed_BK)[..., None] + log_q_BKK
        return _Candidates(
            torch.cat([self.ids_BN, ids_BKK.flatten(1)], dim=1),
            torch.cat([self.score_BN, score_BKK.flatten(1)], dim=1),
            torch.cat([self.above_BN, self.followed_BK.repeat_interleave(ids_BKK.shape[2], dim=1)], dim=1),
            self.followed_BK,
            ids_BKK[0].numel(),
        )

    def follow(self, count: int) -> tuple[Tensor, Tensor]:
        """The best of the fresh ones are followed next: their ids, and whom of the followed they continue."""
        best_BK = self.score_BN[:, -self.fresh :].topk(count).indices
        self.followed_BK = best_BK + self.ids_BN.shape[1] - self.fresh
        return self.ids_BN.gather(1, self.followed_BK), best_BK // (self.fresh // count)


@dataclass(frozen=True, kw_only=True)
class StaticEagle(Eagle):
    """The drafts of `tree`, drawn: `draws` ids below every node that has children (None: as many as its
    children need; officially 10)."""

    tree: StaticTree
    draws: int | None = None

    @property
    def nodes(self) -> int:
        return len(self.tree.parents)

    @property
    def fed(self) -> int:
        return len(self.tree.inner)

    def grow(self, memory: Reading, feature_R1C: Tensor, now: Round) -> Proposal:
        """Level by level: draw below all nodes of a level that have children, feed those that were drawn."""
        made_B1 = now.standing.made_R[:, None]
        law_BjV = self.log_law(memory, feature_R1C, made_B1).exp()
        laws, drafts = [law_BjV], {0: self._draw(law_BjV[:, 0], 0, 0, now)}
        place: dict[int, int] = {}  # of nodes among those that are fed
        fed, h_RnC = None, feature_R1C
        for level, nodes in self._inner_levels():
            ids_Bj = torch.stack([drafts[self.tree.parents[n]][:, self.tree.ranks[n]] for n in nodes], dim=1)
            if fed is None:
                fed = first_level(ids_Bj, feature_R1C.expand(-1, len(nodes), -1))
            else:
                parent_j = torch.tensor([place[self.tree.parents[n]] for n in nodes], device=ids_Bj.device)
                fed = next_level(fed, ids_Bj, h_RnC, parent_j.expand_as(ids_Bj))
            place |= {node: len(place) + i for i, node in enumerate(nodes)}
            h_RnC = self.look(memory, fed, now)
            code_Bj = (made_B1 + level).expand_as(ids_Bj)
            law_BjV = self.log_law(memory, h_RnC[:, -len(nodes) :], code_Bj).exp()
            laws.append(law_BjV)
            drafts |= {node: self._draw(law_BjV[:, i], node, level, now) for i, node in enumerate(nodes)}
        drawn_Bit = torch.stack([drafts[node] for node in self.tree.inner], dim=1)
        return drawn(self.tree, now.last_B, drawn_Bit, torch.cat(laws, dim=1))

    def _inner_levels(self) -> Iterator[tuple[int, list[int]]]:
        """Nodes below the root that have children, level by level."""
        levels = self.tree.levels
        for level, nodes in groupby(self.tree.inner[1:], key=lambda node: levels[node]):
            yield level, list(nodes)

    def _draw(self, law_BV: Tensor, node: int, level: int, now: Round) -> Tensor:
        """Ids below a node, drawn without replacement (DRAFT: code, number of the draw); [B,t] with as many
        places as the widest node needs, 0 where nothing is drawn."""
        wanted = [self._count(inner) for inner in self.tree.inner]
        ids_Bt = torch.zeros(len(law_BV), max(wanted), dtype=torch.int64, device=law_BV.device)
        ahead_1 = torch.full((1,), level, device=law_BV.device)
        for number in range(self._count(node)):
            ids_B = now.draws.pick(Use.DRAFT, now.standing.places(ahead_1, number), law_BV)
            ids_Bt[:, number] = ids_B
            law_BV = law_BV.scatter(1, ids_B[:, None], 0)
        return ids_Bt

    def _count(self, node: int) -> int:
        """Draws below a node: all that its children are named by."""
        ranks = [
            rank for parent, rank in zip(self.tree.parents, self.tree.ranks, strict=True) if parent == node
        ]
        return self.draws or max(ranks) + 1
