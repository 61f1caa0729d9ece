"""Kernel distance (KID, arXiv 1801.01401): unbiased squared MMD under (x.y / D + 1)^3, averaged over subsets.

torch-fidelity computes it. It gets float64 features, where it takes float32 ones itself: the distance of good
samples is a small difference of large sums. Shapes: N real rows, M made rows, D features.
"""

from typing import NamedTuple

from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from genstudio.errors import GenstudioError
from genstudio.evaluation.fidelity import settings

SUBSETS, SIZE, SEED = 100, 1_000, 2020  # torch-fidelity's own


class KernelDistance(NamedTuple):
    """Mean and population standard deviation over the subsets; the mean may fall below 0."""

    mean: float
    deviation: float


def kernel_distance(
    made_MD: Tensor, real_ND: Tensor, *, subsets: int = SUBSETS, size: int = SIZE, seed: int = SEED
) -> KernelDistance:
    """The distance over `subsets` of `size` rows of each side, drawn without replacement.

    Raises GenstudioError where a side has fewer rows than a subset.
    """
    if (fewest := min(len(made_MD), len(real_ND))) < max(size, 2):
        raise GenstudioError(
            f"A kernel distance over subsets of {size} needs as many pictures, not {fewest}.",
            "Score more pictures, or leave the kernel distance out.",
        )
    chosen = settings(kid_subsets=subsets, kid_subset_size=size, rng_seed=seed)
    found = kid_features_to_metric(made_MD.double(), real_ND.double(), **chosen)
    return KernelDistance(found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD])
