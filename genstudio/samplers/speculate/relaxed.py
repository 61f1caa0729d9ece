"""LANTERN's relaxed acceptance of a tree of drafts (arXiv 2410.03355; LANTERN++, arXiv 2502.06352).

A draft is accepted with the mass of its own id plus that of its nearest codes, as far as a bound allows
(`genstudio_kernels.relaxed_mass`). Moving that mass onto draft x turns p into a law p_x that differs from it
by the moved mass alone, in total variation. A refused draft leaves max(p_x - q, 0): speculative sampling of
p_x, so that for drafts that are chosen (LANTERN's best ids, q = 1) the law of a place stays within the
bound times the drafts tested there. No such bound holds for drawn drafts: each of them moves its own mass.
The official code removes all k + 1 nearest codes instead, included or not (from p where q = 1, from q where
drafts are drawn); that is an option, for replays. With k = 0 both are EAGLE-2's rule, of the same law as p.
Shapes: R rows (pictures), m nodes, V codes, k nearest codes, f children of a node, d nodes of a path.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from genstudio_kernels.relaxed_mass import relaxed_mass
from genstudio_kernels.select import Kernels, chosen
from torch import Tensor

from genstudio.samplers.draws import Draws, Use
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.speculate.judges import at_node, last_node, longest_path
from genstudio.samplers.speculate.laws import behind, normalised
from genstudio.samplers.speculate.proposal import Proposal, Standing, Verdict

Residual = Literal["proven", "official"]


class Relaxation(NamedTuple):
    """How much of its neighbours' mass an id may borrow: that of the k nearest codes at most, up to `delta`,
    or up to (delta - 1) times its own mass where delta is above 1. `nearest_VK` are the codes around every
    code, nearest first, K >= k (official residuals read k + 1)."""

    nearest_VK: Tensor
    k: int
    delta: float
    kernels: Kernels | None = None

    @property
    def exactness(self) -> Exactness:
        """Without neighbours nothing is relaxed."""
        return Exactness.SAME_DISTRIBUTION if self.k == 0 or self.delta == 0 else Exactness.LOSSY

    def mass(self, p_RV: Tensor, row_N: Tensor, id_N: Tensor) -> tuple[Tensor, Tensor]:
        """Relaxed probability of id x under law `row`, and how many neighbours it includes, [N] each."""
        kernels = chosen(p_RV.device.type, self.kernels)
        return relaxed_mass(p_RV, row_N, id_N, self.nearest_VK[:, : self.k], self.delta, kernels)


def unrelaxed(codes: int, device: torch.device | str) -> Relaxation:
    """No relaxation of `codes` codes: EAGLE-2."""
    return Relaxation(torch.empty(codes, 0, dtype=torch.int32, device=device), 0, 0.0)


class _Here(NamedTuple):
    """Where the descent of every row stands: its node, what is left of the law there, whether it goes on."""

    node_R: Tensor
    p_RV: Tensor
    open_R: Tensor


class _Test(NamedTuple):
    """One draft per row: the probability of acceptance, and the law that its refusal leaves. Drafts that
    could not be drawn (q = 0) are passed over."""

    ratio_R: Tensor
    possible_R: Tensor
    rest_RV: Tensor


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Walks down a tree; at every node its children are tested one after the other.

    Chosen drafts (q is None) are those of LANTERN's dynamic tree; drawn ones, which have to be drawn without
    replacement, those of LANTERN++'s static one.
    """

    relaxation: Relaxation
    residual: Residual = "proven"

    @property
    def exactness(self) -> Exactness:
        return self.relaxation.exactness

    def judge(self, p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Verdict:
        """A uniform per tested draft (ACCEPT: code, attempt), and a code from what is left of the law behind
        the accepted path (RESIDUAL: code)."""
        children_Rmf = proposal.tree.children(proposal.ids_Rm)
        attempt_f = torch.arange(proposal.tree.fan, device=p_RmV.device)
        root_R = torch.zeros_like(proposal.ids_Rm[:, 0])
        here, path = _Here(root_R, behind(p_RmV, root_R), root_R == 0), [root_R]
        for level in range(proposal.tree.depth):
            child_Rf = behind(children_Rmf, here.node_R)
            at = standing.places(torch.full_like(attempt_f, level), attempt_f)
            here, tested_R = self._descend(here, child_Rf, draws.uniform(Use.ACCEPT, at), proposal)
            draws.spend(Use.ACCEPT, tested_R.sum())
            p_RV = torch.where(here.open_R[:, None], behind(p_RmV, here.node_R), here.p_RV)
            here = here._replace(p_RV=p_RV)
            path.append(torch.where(here.open_R, here.node_R, -1))
        path_Rd = torch.stack(path, dim=1)
        at = standing.places((path_Rd >= 0).sum(1, keepdim=True) - 1)
        next_R = draws.pick(Use.RESIDUAL, at, here.p_RV)
        draws.spend(Use.RESIDUAL, len(next_R))
        return Verdict(path_Rd, next_R, here.p_RV)

    def _descend(
        self, here: _Here, child_Rf: Tensor, uniform_RF: Tensor, proposal: Proposal
    ) -> tuple[_Here, Tensor]:
        """Test the children of a node until one is accepted, and go there; also how many were tested [R]."""
        uniform_Rf = uniform_RF.view_as(child_Rf)
        node_R, p_RV, open_R = here
        moved_R, tested_R = torch.zeros_like(open_R), torch.zeros_like(node_R)
        for child_R, uniform_R in zip(child_Rf.unbind(1), uniform_Rf.unbind(1), strict=True):
            turn_R = open_R & ~moved_R & (child_R >= 0)
            test = self._test(p_RV, child_R.clamp(min=0), proposal)
            accepted_R = turn_R & test.possible_R & (uniform_R <= test.ratio_R)
            refused_R = turn_R & test.possible_R & ~accepted_R
            node_R = torch.where(accepted_R, child_R, node_R)
            p_RV = torch.where(refused_R[:, None], test.rest_RV, p_RV)
            moved_R, tested_R = moved_R | accepted_R, tested_R + turn_R
        return _Here(node_R, p_RV, moved_R), tested_R

    def _test(self, p_RV: Tensor, node_R: Tensor, proposal: Proposal) -> _Test:
        id_R = at_node(proposal.ids_Rm, node_R).clamp(min=0)
        row_R = torch.arange(len(p_RV), device=p_RV.device)
        mass_R, count_R = self.relaxation.mass(p_RV, row_R, id_R)
        q_RV = proposal.law(node_R, p_RV)
        q_R = q_RV[row_R, id_R]
        if self.residual == "proven":
            rest_RV = self._proven_rest(p_RV, q_RV, id_R, count_R)
        else:
            rest_RV = self._official_rest(p_RV, q_RV, id_R, count_R, drawn=proposal.q_RmV is not None)
        return _Test(mass_R / q_R, q_R > 0, rest_RV)

    def _proven_rest(self, p_RV: Tensor, q_RV: Tensor, id_R: Tensor, count_R: Tensor) -> Tensor:
        """max(p_x - q, 0): nothing of the included neighbours, whose mass has gone to x and fell with it."""
        near_Rk = self.relaxation.nearest_VK[id_R, : self.relaxation.k].long()
        included_Rk = torch.arange(near_Rk.shape[1], device=id_R.device) < count_R[:, None]
        rest_RV = (p_RV - q_RV).clamp(min=0)
        left_Rk = rest_RV.gather(1, near_Rk).masked_fill(included_Rk, 0)
        return normalised(rest_RV.scatter(1, near_Rk, left_Rk), p_RV)

    def _official_rest(
        self, p_RV: Tensor, q_RV: Tensor, id_R: Tensor, count_R: Tensor, drawn: bool
    ) -> Tensor:
        """As soon as one neighbour is included, all k + 1 nearest fall: chosen drafts take them from p, drawn
        ones from q, which leaves their p whole. Where nothing is left, all codes are alike."""
        near_Rk = self.relaxation.nearest_VK[id_R, : self.relaxation.k + 1].long()
        rest_RV = (p_RV - q_RV).clamp(min=0)
        fallen_Rk = p_RV.gather(1, near_Rk) if drawn else torch.zeros_like(near_Rk, dtype=p_RV.dtype)
        left_Rk = torch.where(count_R[:, None] > 0, fallen_Rk, rest_RV.gather(1, near_Rk))
        return normalised(rest_RV.scatter(1, near_Rk, left_Rk), torch.full_like(p_RV, 1 / p_RV.shape[1]))


@dataclass(frozen=True, slots=True)
class GreedyRelaxed:
    """Greedy decoding: a draft stands while its relaxed probability is the largest of its law (the first of
    equal ones), the longest path wins, and the most likely code follows. p must not be filtered to one code:
    neighbours then have nothing to lend. With k = 0 the codes are those of greedy sampling."""

    relaxation: Relaxation

    @property
    def exactness(self) -> Exactness:
        return Exactness.EXACT if self.relaxation.k == 0 else Exactness.LOSSY

    def judge(self, p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Verdict:
        """Draws nothing."""
        del draws, standing
        path_Rd = longest_path(self._foremost(p_RmV, proposal), proposal.tree)
        law_RV = behind(p_RmV, last_node(path_Rd))
        return Verdict(path_Rd, law_RV.argmax(-1), law_RV)

    def _foremost(self, p_RmV: Tensor, proposal: Proposal) -> Tensor:
        """Whether every draft has the largest probability once it is relaxed, [R, m]."""
        ids_Rm, (rows, nodes, _) = proposal.ids_Rm, p_RmV.shape
        above_Rm = proposal.tree.parent_Rm.clamp(min=0).expand_as(ids_Rm)
        law_Rm = above_Rm + nodes * torch.arange(rows, device=above_Rm.device)[:, None]
        best = p_RmV.flatten(0, 1).max(-1)
        top_Rm, top_id_Rm = best.values[law_Rm], best.indices[law_Rm]
        mass_N, _ = self.relaxation.mass(p_RmV.flatten(0, 1), law_Rm.flatten(), ids_Rm.clamp(min=0).flatten())
        mass_Rm = mass_N.view_as(ids_Rm)
        wins_Rm = (mass_Rm > top_Rm) | ((mass_Rm == top_Rm) & (ids_Rm <= top_id_Rm))
        return (wins_Rm | (ids_Rm == top_id_Rm)) & (ids_Rm >= 0)
