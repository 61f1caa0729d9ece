"""Kernel distance: torch-fidelity's value, near zero for equal distributions, and its bad input."""

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from genstudio.errors import GenstudioError
from genstudio.evaluation.fidelity import settings
from genstudio.evaluation.kernel_distance import kernel_distance


def cloud(rows: int, centre: float, seed: int) -> Tensor:
    return torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed)) + centre


def test_it_is_torch_fidelitys() -> None:
    made, real = cloud(120, 0.3, seed=0), cloud(150, 0, seed=1)
    expected = kid_features_to_metric(
        made, real, kid_subsets=7, kid_subset_size=50, rng_seed=2020, verbose=False
    )
    found = kernel_distance(made, real, subsets=7, size=50)
    assert found == pytest.approx((expected[KEY_METRIC_KID_MEAN], expected[KEY_METRIC_KID_STD]), rel=1e-4)
    assert found != kernel_distance(made, real, subsets=7, size=50, seed=1)


def test_equal_distributions_lie_around_zero_and_others_do_not() -> None:
    """Unbiased: over 40 subsets of half a sample the mean strays from 0 by a fraction of their deviation."""
    equal = kernel_distance(cloud(400, 0, seed=2), cloud(400, 0, seed=3), subsets=40, size=200)
    assert abs(equal.mean) < 2 * equal.deviation
    other = kernel_distance(cloud(400, 0.3, seed=2), cloud(400, 0, seed=3), subsets=40, size=200)
    assert other.mean > 5 * other.deviation


def test_too_few_rows() -> None:
    with pytest.raises(GenstudioError, match="subsets of 100 needs as many pictures, not 99"):
        kernel_distance(cloud(200, 0, seed=4), cloud(99, 0, seed=5), size=100)


def test_a_setting_that_torch_fidelity_does_not_know_is_refused() -> None:
    assert settings(kid_subsets=3) == {"kid_subsets": 3, "verbose": False}
    with pytest.raises(TypeError, match="no setting kid_subset_sise"):
        settings(kid_subset_sise=3)
