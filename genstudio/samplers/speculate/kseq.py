"""SpecTr's K-SEQ: k drafts for one place, judged so that the code has the target's law (arXiv 2310.15141).

K chains are drawn independently from the draft's law q. With beta = sum min(q, p / rho), the first draft x is
accepted for which u <= min(1, p(x) / (rho q(x))); one of k is, with probability 1 - (1 - beta)^k. rho has to
be so large that no code is accepted more often than p allows: at least rho*, found by bisection and rounded
up, since every rho from there to k is exact. rho = 1 (speculative sampling) is wrong for k > 1. Along the
sequence the chains survive that drew the accepted code, and the next place is judged with as many.
Shapes: R rows (pictures), K chains, m = 1 + K length nodes, V codes, d nodes of a path.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.samplers.draws import Draws, Use
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.speculate.laws import behind, normalised
from genstudio.samplers.speculate.proposal import Proposal, Standing, Verdict

STEPS = 20  # rho* to k / 2^20: less would be accepted a little more rarely, not wrongly


class _Here(NamedTuple):
    """Where every row stands: surviving chains, its node, the law of its next code, whether it goes on."""

    alive_RK: Tensor
    node_R: Tensor
    p_RV: Tensor
    open_R: Tensor


@dataclass(frozen=True, slots=True)
class KSeq:
    """Judges `count` chains as `tree.chains` lays them out; a place's q is that of its first survivor."""

    count: int
    exactness: Exactness = Exactness.SAME_DISTRIBUTION

    def judge(self, p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Verdict:
        """A uniform per place and chain (ACCEPT: code, chain); the code behind the path is drawn from what is
        left of the law there (RESIDUAL: code)."""
        root_R = torch.zeros_like(proposal.ids_Rm[:, 0])
        here = _Here(root_R.new_ones(len(root_R), self.count) > 0, root_R, behind(p_RmV, root_R), root_R == 0)
        path = [root_R]
        for level in range(proposal.tree.depth):
            chain_K = torch.arange(self.count, device=root_R.device)
            at = standing.places(torch.full_like(chain_K, level), chain_K)
            here = self._next_place(here, level, draws.uniform(Use.ACCEPT, at), proposal)
            p_RV = torch.where(here.open_R[:, None], behind(p_RmV, here.node_R), here.p_RV)
            here = here._replace(p_RV=p_RV)
            path.append(torch.where(here.open_R, here.node_R, -1))
        path_Rd = torch.stack(path, dim=1)
        at = standing.places((path_Rd >= 0).sum(1, keepdim=True) - 1)
        return Verdict(path_Rd, draws.pick(Use.RESIDUAL, at, here.p_RV), here.p_RV)

    def _next_place(self, here: _Here, level: int, uniform_N: Tensor, proposal: Proposal) -> _Here:
        """Judge the survivors' drafts for one place."""
        first = 1 + level * self.count
        id_RK = proposal.ids_Rm[:, first : first + self.count]
        alive_RK = here.alive_RK & here.open_R[:, None] & (id_RK >= 0)
        count_R, node_R = alive_RK.sum(1).clamp(min=1), first + alive_RK.int().argmax(1)
        q_RV = proposal.law(node_R, here.p_RV)
        rho_R = smallest_rho(here.p_RV, q_RV, count_R)
        ratio_RK = acceptance(here.p_RV, q_RV, rho_R, id_RK.clamp(min=0))
        hit_RK = alive_RK & (uniform_N.view_as(ratio_RK) <= ratio_RK)
        accepted_R, chain_R1 = hit_RK.any(1), hit_RK.int().argmax(1, keepdim=True)
        refused_R = alive_RK.any(1) & ~accepted_R
        rest_RV = residual(here.p_RV, q_RV, rho_R, count_R)
        return _Here(
            alive_RK & (id_RK == id_RK.gather(1, chain_R1)),
            torch.where(accepted_R, first + chain_R1[:, 0], here.node_R),
            torch.where(refused_R[:, None], rest_RV, here.p_RV),
            accepted_R,
        )


def smallest_rho(p_RV: Tensor, q_RV: Tensor, k_R: Tensor) -> Tensor:
    """rho* in [1, k], rounded up: the smallest rho with 1 - (1 - beta)^k <= rho beta, float64 [R]."""
    high_R = k_R.double()
    low_R = torch.ones_like(high_R)
    for _ in range(STEPS):
        middle_R = (low_R + high_R) / 2
        beta_R = taken(p_RV, q_RV, middle_R).sum(-1)
        fits_R = accepted_share(beta_R, k_R) <= middle_R * beta_R
        low_R, high_R = torch.where(fits_R, low_R, middle_R), torch.where(fits_R, middle_R, high_R)
    return high_R


def acceptance(p_RV: Tensor, q_RV: Tensor, rho_R: Tensor, id_RK: Tensor) -> Tensor:
    """min(1, p(x) / (rho q(x))) of drafts x, [R, K]."""
    return (p_RV.gather(1, id_RK) / (rho_R[:, None] * q_RV.gather(1, id_RK))).clamp(max=1)


def residual(p_RV: Tensor, q_RV: Tensor, rho_R: Tensor, k_R: Tensor) -> Tensor:
    """What a place is drawn from once all k drafts are refused, [R, V] in the dtype of p."""
    taken_RV = taken(p_RV, q_RV, rho_R)
    beta_R = taken_RV.sum(-1)
    often_R = accepted_share(beta_R, k_R) / beta_R.clamp(min=torch.finfo(torch.float64).tiny)
    rest_RV = (p_RV - often_R[:, None] * taken_RV).clamp(min=0)
    return normalised(rest_RV.to(p_RV.dtype), p_RV)


def accepted_share(beta_R: Tensor, k_R: Tensor) -> Tensor:
    """1 - (1 - beta)^k: how probably one of k drafts is accepted, [R]."""
    return -torch.expm1(k_R * torch.log1p(-beta_R.clamp(max=1)))


def taken(p_RV: Tensor, q_RV: Tensor, rho_R: Tensor) -> Tensor:
    """min(q, p / rho): how probably one draft is x and accepted; its sum is beta. float64 [R, V]."""
    return torch.minimum(q_RV.double(), p_RV.double() / rho_R[:, None])


def acceptance_bound(p_RV: Tensor, q_RV: Tensor, k: int) -> Tensor:
    """No rule that keeps the law p accepts one of k drafts more often: sum min(p, 1 - (1 - q)^k), [R]."""
    return torch.minimum(p_RV, 1 - (1 - q_RV) ** k).sum(-1)
