"""Improved precision and recall (arXiv 1904.06991, equations 1 and 2), k = 3, in blocks of rows.

A set's manifold is the union of balls around its points, each as wide as the distance to the k-th nearest
other point of the set. Distances are taken in float64: through a matrix product, float32 loses near ones.
Shapes: N real rows, M made rows, D features.
"""

from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 3
BLOCK = 1000


class PrecisionRecall(NamedTuple):
    """Share of made rows inside the real manifold, share of real rows inside the made manifold."""

    precision: float
    recall: float


def precision_recall(real_ND: Tensor, made_MD: Tensor, k: int = NEIGHBOURS) -> PrecisionRecall:
    """Precision and recall of `made_MD` against `real_ND`; both need more than k rows."""
    if min(len(real_ND), len(made_MD)) <= k:
        raise ValueError(f"both sets need more than {k} rows, not {len(real_ND)} and {len(made_MD)}")
    real_ND, made_MD = real_ND.double(), made_MD.double()
    return PrecisionRecall(
        precision=_share_inside(made_MD, real_ND, _radii(real_ND, k)),
        recall=_share_inside(real_ND, made_MD, _radii(made_MD, k)),
    )


def _radii(points_ND: Tensor, k: int) -> Tensor:
    """Distance of every point to its k-th nearest other point: the k+1-th in all, itself being the first."""
    blocks = torch.split(points_ND, BLOCK)
    return torch.cat([torch.cdist(block, points_ND).kthvalue(k + 1).values for block in blocks])


def _share_inside(points_MD: Tensor, centres_ND: Tensor, radii_N: Tensor) -> float:
    inside = [(torch.cdist(block, centres_ND) <= radii_N).any(1) for block in torch.split(points_MD, BLOCK)]
    return float(torch.cat(inside).double().mean())
