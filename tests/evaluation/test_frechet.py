"""Frechet distance against closed forms and scipy's matrix root; moments in any grouping."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from genstudio.evaluation.frechet import Against, Gaussian, Moments, frechet_distance


def draw(rows: int, features: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(features, features, generator=generator, dtype=torch.float64)
    return torch.randn(rows, features, generator=generator, dtype=torch.float64) @ mix + seed


def gaussian(mean_D: torch.Tensor, covariance_DD: torch.Tensor) -> Gaussian:
    return Gaussian(mean_D.double(), covariance_DD.double())


def test_moments_are_mean_and_covariance_in_any_grouping() -> None:
    rows_ND = draw(101, 7, seed=1)
    whole = Moments.of(rows_ND)
    torch.testing.assert_close(whole.mean_D, rows_ND.mean(0))
    torch.testing.assert_close(whole.covariance_DD, torch.cov(rows_ND.T))
    parts = Moments.empty(7)
    for part in rows_ND.split([1, 50, 0, 30, 20]):
        parts = parts.add(part)
    halves = Moments.of(rows_ND[60:]).merge(Moments.of(rows_ND[:60])).merge(Moments.empty(7))
    for other in (parts, halves):
        assert other.count == 101
        torch.testing.assert_close(other.mean_D, whole.mean_D)
        torch.testing.assert_close(other.covariance_DD, whole.covariance_DD)


def test_moments_survive_a_large_common_offset() -> None:
    rows_ND = draw(1000, 5, seed=2)
    near, far = Moments.empty(5), Moments.empty(5)
    for part in rows_ND.split(100):
        near, far = near.add(part), far.add(part + 1e6)
    torch.testing.assert_close(far.covariance_DD, near.covariance_DD, rtol=1e-8, atol=1e-8)


def test_rows_can_be_taken_out_again() -> None:
    rows_ND = draw(2000, 6, seed=8) + 1e3
    whole, part = Moments.of(rows_ND), Moments.of(rows_ND[:100])
    left = whole.without(part)
    assert left.count == 1900
    torch.testing.assert_close(left.mean_D, rows_ND[100:].mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(left.covariance_DD, torch.cov(rows_ND[100:].T), rtol=1e-11, atol=1e-11)
    with pytest.raises(ValueError, match="leave none"):
        part.without(part)


def test_one_row_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two rows"):
        _ = Moments.of(torch.ones(1, 3)).covariance_DD


def test_closed_form_of_commuting_covariances() -> None:
    variances_a, variances_b = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([4.0, 4.0, 0.25])
    a = gaussian(torch.zeros(3), variances_a.diag())
    b = gaussian(torch.tensor([1.0, 2.0, 2.0]), variances_b.diag())
    # |m|^2 = 9; sum of (sqrt(a) - sqrt(b))^2 = 1 + 0 + 6.25
    assert frechet_distance(a, b) == pytest.approx(16.25, rel=1e-12)
    turn, _ = torch.linalg.qr(draw(3, 3, seed=3))
    turned_a, turned_b = (gaussian(turn @ mean, turn @ covariance @ turn.T) for mean, covariance in (a, b))
    assert frechet_distance(turned_a, turned_b) == pytest.approx(16.25, rel=1e-9)


@pytest.mark.parametrize("features", [2, 16, 48])
def test_general_case_equals_the_matrix_root(features: int) -> None:
    a = Moments.of(draw(400, features, seed=4)).gaussian
    b = Moments.of(draw(500, features, seed=5)).gaussian
    root = scipy.linalg.sqrtm(a.covariance_DD.numpy() @ b.covariance_DD.numpy())
    expected = (
        float((a.mean_D - b.mean_D).square().sum())
        + float(a.covariance_DD.trace() + b.covariance_DD.trace())
        - 2 * np.trace(root).real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_the_value_is_torch_fidelitys() -> None:
    made, real = draw(300, 24, seed=9).float(), draw(400, 24, seed=10).float()
    statistics = [fid_features_to_statistics(one.double()) for one in (made, real)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    ours = Against(Moments.of(real).gaussian).distance(Moments.of(made).gaussian)
    assert ours == pytest.approx(expected, rel=1e-6)


def test_singular_covariances_need_no_help() -> None:
    few = Moments.of(draw(10, 64, seed=6)).gaussian
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5 * float(few.covariance_DD.trace()))
    flat = gaussian(torch.zeros(4), torch.diag(torch.tensor([1.0, 0, 0, 0])))
    other = gaussian(torch.zeros(4), torch.diag(torch.tensor([0, 0, 0, 2.0])))
    assert frechet_distance(flat, other) == pytest.approx(3, rel=1e-9)
