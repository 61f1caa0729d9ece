"""The exact law of the code that a judge emits, measured from outside.

Drafts compete for one place. A judge tests them in turn, and whether one passes is a matter of one uniform:
its threshold is found by bisection, all refused before it, for all rows at once. What is emitted once all are
refused is `Verdict.law_RV`. Nothing of the judge's own arithmetic is used.
Shapes: R rows (one per tuple of drafts), n drafts, V codes.
"""

from itertools import permutations, product

import torch
from torch import Tensor

from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.speculate.proposal import Judge, Proposal, Standing, Verdict
from genstudio.samplers.speculate.tree import chains

STEPS = 32
TOP = 1 - 1e-13  # the largest uniform: what passes with it passes always


class Told:
    """Uniforms of acceptance as told, [row, attempt]; picks are keyed."""

    def __init__(self, uniform_Rn: Tensor) -> None:
        self.uniform_Rn = uniform_Rn

    def uniform(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        assert use == Use.ACCEPT and shape == ()
        return self.uniform_Rn[at.seed_R, at.index_RK[:, 1]]

    def pick(self, use: Use, at: At, p_RV: Tensor) -> Tensor:
        return KeyedDraws().pick(use, at, p_RV)

    def spend(self, use: Use, count: int | Tensor) -> None:
        del use, count


def drafts(q_V: Tensor, count: int, replacement: bool) -> tuple[Proposal, Tensor]:
    """Every tuple of `count` drafts drawn from q as a row, and how probable it is."""
    ids = range(len(q_V))
    tuples = product(ids, repeat=count) if replacement else permutations(ids, count)
    ids_Rn = torch.tensor(list(tuples))
    q_RnV = q_V.expand(*ids_Rn.shape, -1).clone()
    for later in range(1, count if not replacement else 0):
        q_RnV[:, later:].scatter_(2, ids_Rn[:, later - 1, None, None].expand(-1, count - later, 1), 0)
    q_RnV /= q_RnV.sum(-1, keepdim=True)
    weight_R = q_RnV.gather(2, ids_Rn[..., None])[..., 0].prod(1)
    return proposal(ids_Rn, q_RnV), weight_R


def chosen(ids: list[int]) -> tuple[Proposal, Tensor]:
    """The one tuple of drafts that are not drawn."""
    return proposal(torch.tensor([ids]), None), torch.ones(1, dtype=torch.float64)


def proposal(ids_Rn: Tensor, q_RnV: Tensor | None) -> Proposal:
    """Drafts of one place side by side, below root 0."""
    rows, count = ids_Rn.shape
    ids_Rm = torch.cat([torch.zeros(rows, 1, dtype=torch.int64), ids_Rn], dim=1)
    q_RmV = None if q_RnV is None else torch.cat([torch.zeros_like(q_RnV[:, :1]), q_RnV], dim=1)
    return Proposal(ids_Rm, chains(count, 1, "cpu"), q_RmV)


def emitted_law(judge: Judge, p_V: Tensor, proposal: Proposal, weight_R: Tensor) -> Tensor:
    """The law [V] of the code that is emitted."""
    rows, nodes = proposal.ids_Rm.shape
    p_RmV = p_V.expand(rows, nodes, -1)
    reached_R, law_V = weight_R.clone(), torch.zeros_like(p_V)
    for attempt in range(nodes - 1):
        passes_R = threshold(judge, p_RmV, proposal, attempt)
        law_V.index_add_(0, proposal.ids_Rm[:, 1 + attempt], reached_R * passes_R)
        reached_R = reached_R * (1 - passes_R)
    refused = _judged(judge, p_RmV, proposal, p_V.new_full((rows, nodes), TOP))
    return law_V + (reached_R[:, None] * refused.law_RV).sum(0)


def threshold(judge: Judge, p_RmV: Tensor, proposal: Proposal, attempt: int) -> Tensor:
    """How probably the draft of this attempt passes, once all before are refused, [R]."""
    rows, nodes = proposal.ids_Rm.shape
    uniform_Rn = p_RmV.new_full((rows, nodes), TOP)
    always_R = _judged(judge, p_RmV, proposal, uniform_Rn).path_Rd[:, 1] == 1 + attempt
    low_R, high_R = p_RmV.new_zeros(rows), p_RmV.new_ones(rows)
    for _ in range(STEPS):
        uniform_Rn[:, attempt] = (low_R + high_R) / 2
        passed_R = _judged(judge, p_RmV, proposal, uniform_Rn).path_Rd[:, 1] == 1 + attempt
        low_R = torch.where(passed_R, uniform_Rn[:, attempt], low_R)
        high_R = torch.where(passed_R, high_R, uniform_Rn[:, attempt])
    return torch.where(always_R, 1, low_R)


def distance(one_V: Tensor, other_V: Tensor) -> float:
    """Total variation."""
    return float((one_V - other_V).abs().sum() / 2)


def random_law(codes: int, seed: int, sharpness: float = 1.5) -> Tensor:
    """A law in float64 of which a quarter of the codes is filtered away."""
    generator = torch.Generator().manual_seed(seed)
    logits_V = sharpness * torch.randn(codes, generator=generator, dtype=torch.float64)
    logits_V[torch.rand(codes, generator=generator) < 0.25] = -torch.inf
    logits_V[int(torch.randint(codes, (), generator=generator))] = 0.0
    return logits_V.softmax(-1)


def _judged(judge: Judge, p_RmV: Tensor, proposal: Proposal, uniform_Rn: Tensor) -> Verdict:
    rows = len(p_RmV)
    standing = Standing(torch.arange(rows), torch.ones(rows).long(), torch.zeros(rows).long())
    return judge.judge(p_RmV, proposal, Told(uniform_Rn), standing)
