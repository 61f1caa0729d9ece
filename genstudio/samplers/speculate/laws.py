"""Laws as rows of probabilities: reading one of many, drawing behind many, what one leaves of another.

Shapes: R rows (pictures), m nodes, L codes of a picture, V codes of a table.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.samplers.draws import At, Draws, Use
from genstudio.samplers.values import Order
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


class Units(NamedTuple):
    """What a loop asks of every code of a picture again and again, said once: the slot that makes it, and the
    weight of its guidance (a number where all have the same)."""

    slot_L: Tensor
    weight_L: Tensor | float

    @staticmethod
    def of(order: Order, job: Job) -> "Units":
        units, device = order.units(), job.seed_B.device
        weights = [job.weight(unit) for unit in units]
        same = len(set(weights)) == 1
        weight_L = weights[0] if same else torch.tensor(weights, dtype=torch.float64, device=device)
        return Units(torch.tensor([unit.fed.stop - 1 for unit in units], device=device), weight_L)

    def slots(self, code_Rm: Tensor) -> Tensor:
        """The slots that make these codes; for codes behind the last one, that of the last."""
        return self.slot_L[code_Rm.clamp(max=len(self.slot_L) - 1)]

    def weights(self, code_Rm: Tensor) -> float | Tensor:
        """The weight of guidance behind every slot, [R,m,1] where they differ."""
        if not isinstance(self.weight_L, Tensor):
            return self.weight_L
        return self.weight_L[code_Rm.clamp(max=len(self.weight_L) - 1)][..., None]
