"""Precision and recall (arXiv 1904.06991, equations 1 and 2, k = 3), density and coverage (arXiv 2002.09797,
section 3, k = 5): how far two sets of features lie inside each other's neighbourhoods.

A neighbourhood is a closed ball as wide as the distance to the k-th nearest other point of its own set.
torch-fidelity computes precision and recall; it gets float64 features, because float32 loses near distances
in the matrix product that they come from, and blocks of rows, so that memory stays bounded.
Shapes: N real rows, M made rows, D features.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from genstudio.evaluation.fidelity import settings

NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5
BLOCK_BYTES = 1 << 27  # of distances held at once


class PrecisionRecall(NamedTuple):
    """Share of made rows inside the real manifold, share of real rows inside the made manifold."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """How many real neighbourhoods a made row lies in, per k (1 when the sets are alike; it may be more), and
    the share of real neighbourhoods that hold a made row."""

    density: float
    coverage: float


def precision_recall(real_ND: Tensor, made_MD: Tensor, k: int = NEIGHBOURS) -> PrecisionRecall:
    """Precision and recall of `made_MD` against `real_ND`; both need more than k rows, else ValueError."""
    _check(k, real_ND, made_MD)
    block = _block(max(len(real_ND), len(made_MD)))
    chosen = settings(prc_neighborhood=k, prc_batch_size=block, save_cpu_ram=True)
    found = prc_features_to_metric(made_MD.double(), real_ND.double(), **chosen)
    return PrecisionRecall(
        _share(found[KEY_METRIC_PRECISION], len(made_MD)), _share(found[KEY_METRIC_RECALL], len(real_ND))
    )


def density_coverage(real_ND: Tensor, made_MD: Tensor, k: int = DENSITY_NEIGHBOURS) -> DensityCoverage:
    """Density and coverage of `made_MD` against `real_ND`, which needs more than k rows, else ValueError.

    Unlike precision, density does not trust a lone outlier; coverage needs no manifold of the made rows.
    """
    _check(k, real_ND)
    real_ND, made_MD = real_ND.double(), made_MD.double()
    held_N = torch.cat(
        [
            (torch.cdist(part, made_MD) <= _radii(part, real_ND, k)[:, None]).sum(1)
            for part in torch.split(real_ND, _block(max(len(real_ND), len(made_MD))))
        ]
    )
    return DensityCoverage(float(held_N.sum()) / (k * len(made_MD)), float((held_N > 0).double().mean()))


def _radii(part_BD: Tensor, all_ND: Tensor, k: int) -> Tensor:
    """Distance of some points to their k-th nearest other: the k+1-th in all, itself being the first."""
    return torch.cdist(part_BD, all_ND).kthvalue(k + 1).values


def _share(rounded: float, rows: int) -> float:
    """The share of rows that torch-fidelity averaged in float32, in float64."""
    return round(rounded * rows) / rows


def _block(rows: int) -> int:
    """Rows whose float64 distances to so many others fit into BLOCK_BYTES."""
    return max(1, BLOCK_BYTES // (8 * rows))


def _check(k: int, *sets: Tensor) -> None:
    if min(map(len, sets)) <= k:
        raise ValueError(f"sets need more than {k} rows, not {' and '.join(str(len(one)) for one in sets)}")
