"""Judges of windows: the exact race, and speculative sampling as SJD does it (arXiv 2410.01699).

`Race` accepts a draft while it equals the winner of the target's own race, whose noise belongs to the place:
the codes are those of the plain sampler. `Speculative` accepts draft x with probability min(1, p(x) / q(x))
and draws a refused place from max(p - q, 0): other codes, of the same law. The official SJD filters that
residual once more, which changes the law where top-p is below 1; here that is an option, for replays. Every
row has its own length (officially the shortest of the batch counts), and nothing waits for the device.
Shapes: R rows (pictures), m nodes, V codes, d nodes of a path.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genstudio.samplers import filters
from genstudio.samplers.draws import Draws, Use
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.recipe import Allow, Filter, TopK
from genstudio.samplers.speculate.laws import behind, draw, remainder
from genstudio.samplers.speculate.proposal import Proposal, Standing, Verdict
from genstudio.samplers.speculate.tree import DraftTree


@dataclass(frozen=True, slots=True)
class Race:
    """Exact Jacobi decoding. Any drafts may be judged by it, also of another model, also in a tree."""

    exactness: Exactness = Exactness.EXACT

    def judge(self, p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Verdict:
        """The winners of all places are `fresh_Rm`; the first one that no draft foresaw is the next code."""
        level_Rm = proposal.tree.level_Rm.expand_as(proposal.ids_Rm)
        winner_Rm = draw(draws, Use.TOKEN, standing.places(level_Rm), p_RmV)
        above_Rm = proposal.tree.parent_Rm.clamp(min=0).expand_as(winner_Rm)
        path_Rd = longest_path(proposal.ids_Rm == winner_Rm.gather(1, above_Rm), proposal.tree)
        last_R = last_node(path_Rd)
        return Verdict(path_Rd, at_node(winner_Rm, last_R), behind(p_RmV, last_R), winner_Rm)


@dataclass(frozen=True, slots=True)
class Speculative:
    """Speculative sampling of a window (a tree without branches).

    `refilter` are filters that the residual passes once more, as officially; without them the emitted codes
    have exactly the law p.
    """

    refilter: tuple[Filter, ...] = ()

    @property
    def exactness(self) -> Exactness:
        """A residual has no more codes than p: top-k and allowed ids, said twice, change nothing of it."""
        harmless = all(isinstance(one, TopK | Allow) for one in self.refilter)
        return Exactness.SAME_DISTRIBUTION if harmless else Exactness.LOSSY

    def judge(self, p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Verdict:
        """Draws a code behind every node (PROPOSAL: code, round), then compares."""
        ahead_m = torch.arange(p_RmV.shape[1], device=p_RmV.device)
        fresh_Rm = draw(draws, Use.PROPOSAL, standing.places(ahead_m, standing.round_R[:, None]), p_RmV)
        draws.spend(Use.PROPOSAL, fresh_Rm.numel())
        return self.compare(p_RmV, fresh_Rm, proposal, draws, standing)

    def compare(
        self, p_RmV: Tensor, fresh_Rm: Tensor, proposal: Proposal, draws: Draws, standing: Standing
    ) -> Verdict:
        """The verdict, where codes behind every node are drawn already.

        The first draft that fails its test is redrawn from the residual (RESIDUAL: code). Behind the last
        draft, or before an absent one, nothing is refused and the code drawn there stands.
        """
        path_Rd = longest_path(passed(p_RmV, proposal, draws, standing), proposal.tree)
        last_R = last_node(path_Rd)
        failed_R = (last_R + 1).clamp(max=proposal.ids_Rm.shape[1] - 1)
        refused_R = (failed_R > last_R) & (at_node(proposal.ids_Rm, failed_R) >= 0)
        p_RV = behind(p_RmV, last_R)
        residual_RV = self._filtered(remainder(p_RV, proposal.law(failed_R, p_RV)))
        redrawn_R = draws.pick(Use.RESIDUAL, standing.places(last_R[:, None]), residual_RV)
        draws.spend(Use.RESIDUAL, refused_R.sum())
        next_R = torch.where(refused_R, redrawn_R, at_node(fresh_Rm, last_R))
        return Verdict(path_Rd, next_R, torch.where(refused_R[:, None], residual_RV, p_RV), fresh_Rm)

    def _filtered(self, residual_RV: Tensor) -> Tensor:
        if not self.refilter:
            return residual_RV
        return filters.apply(self.refilter, residual_RV.log()).softmax(-1)


def acceptance(p_RmV: Tensor, proposal: Proposal) -> Tensor:
    """min(1, p(x) / q(x)) of every draft of a window [R, m]: 1 at the root, 0 where a draft is absent.

    Raises ValueError for a tree with branches.
    """
    if proposal.tree.fan > 1:
        raise ValueError("A window has no branches: judge a tree by another rule.")
    id_Rm1 = proposal.ids_Rm.clamp(min=0)[..., None]
    ratio_Rm = p_RmV[:, :-1].gather(2, id_Rm1[:, 1:])[..., 0]
    if proposal.q_RmV is not None:
        ratio_Rm = ratio_Rm / proposal.q_RmV.gather(2, id_Rm1)[:, 1:, 0]
    ratio_Rm = torch.where(proposal.ids_Rm[:, 1:] < 0, 0, ratio_Rm.clamp(max=1))
    return torch.cat([ratio_Rm.new_ones(len(ratio_Rm), 1), ratio_Rm], dim=1)


def passed(p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Tensor:
    """Which drafts of a window pass their own test, u < min(1, p / q) (strictly), [R, m].

    One uniform per node (ACCEPT: code, attempt 0); that of the root is drawn too and not used, as in recorded
    runs, and a window of one code draws none.
    """
    ratio_Rm = acceptance(p_RmV, proposal)
    if ratio_Rm.shape[1] == 1:
        return ratio_Rm > 0
    ahead_m = torch.arange(-1, ratio_Rm.shape[1] - 1, device=ratio_Rm.device)
    uniform_Rm = draws.uniform(Use.ACCEPT, standing.places(ahead_m, 0)).view_as(ratio_Rm)
    draws.spend(Use.ACCEPT, uniform_Rm.numel())
    return uniform_Rm < ratio_Rm


def longest_path(passed_Rm: Tensor, tree: DraftTree) -> Tensor:
    """The nodes from the root to the deepest one whose whole path passed (the first of equally deep ones),
    [R, depth + 1], -1 behind the last. The root always passes."""
    above_Rmm = tree.ancestors()
    passed_Rm = passed_Rm | (tree.parent_Rm < 0)
    reached_Rm = (passed_Rm[:, None, :] | ~above_Rmm).all(-1)
    level_Rm = (above_Rmm.sum(-1) - 1).expand_as(reached_Rm)
    deepest_R = torch.where(reached_Rm, level_Rm, -1).argmax(1)
    chosen_Rm = behind(above_Rmm.expand(len(reached_Rm), -1, -1), deepest_R)
    node_Rm = torch.arange(reached_Rm.shape[1], device=reached_Rm.device).expand_as(reached_Rm)
    path_Rd = node_Rm.new_full((len(reached_Rm), tree.depth + 2), -1)
    return path_Rd.scatter(1, torch.where(chosen_Rm, level_Rm, tree.depth + 1), node_Rm)[:, :-1]


def last_node(path_Rd: Tensor) -> Tensor:
    """The last accepted node of every row, [R]."""
    return at_node(path_Rd, (path_Rd >= 0).sum(1) - 1)


def at_node(values_Rm: Tensor, node_R: Tensor) -> Tensor:
    """One entry per row, [R]."""
    return values_Rm.gather(1, node_R[:, None])[:, 0]
