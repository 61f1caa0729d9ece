"""Laws as rows of probabilities: reading one of many, drawing behind many, what one leaves of another.

Shapes: R rows (pictures), m nodes, V codes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from genstudio.samplers.draws import At, Draws, Use
from genstudio.samplers.values import Unit
from genstudio.samplers.walk import Job


def behind(law_RmV: Tensor, node_R: Tensor) -> Tensor:
    """The law of one node per row, [R, V]."""
    return law_RmV[torch.arange(len(law_RmV), device=law_RmV.device), node_R]


def draw(draws: Draws, use: Use, at: At, p_RmV: Tensor) -> Tensor:
    """A code from every law, [R, m]; `at` are their places, sample-major."""
    return draws.pick(use, at, p_RmV.flatten(0, 1)).view(p_RmV.shape[:2])


def normalised(rest_RV: Tensor, otherwise_RV: Tensor) -> Tensor:
    """Rows that sum to 1; where nothing is left, the other law."""
    total_R1 = rest_RV.sum(-1, keepdim=True)
    return torch.where(total_R1 > 0, rest_RV / total_R1, otherwise_RV)


def remainder(p_RV: Tensor, q_RV: Tensor) -> Tensor:
    """max(p - q, 0), normalised: what a place is drawn from once a draft of law q is refused.

    Where nothing is left p equals q, and no draft is refused but for rounding: p itself serves.
    """
    return normalised((p_RV - q_RV).clamp(min=0), p_RV)


def weights_at(job: Job, units: Sequence[Unit], code_Rm: Tensor) -> float | Tensor:
    """The weight of guidance of every code [R,m,1], codes behind the last unit counted as its own; a number
    where all units have the same."""
    weights = [job.weight(unit) for unit in units]
    if len(set(weights)) == 1:
        return weights[0]
    weight_L = torch.tensor(weights, dtype=torch.float64, device=code_Rm.device)
    return weight_L[code_Rm.clamp(max=len(weights) - 1)][..., None]
