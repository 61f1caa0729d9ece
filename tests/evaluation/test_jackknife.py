"""Interval and bias of a Frechet distance: on Gaussians whose distance is known."""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from genstudio.evaluation.frechet import Against, Gaussian, Moments
from genstudio.evaluation.jackknife import Interval, jackknife

BLOCKS, REPEATS, MANY = 20, 100, 1500


class Case(NamedTuple):
    """A reference, and the Gaussian that samples of `count` rows are drawn from."""

    reference: Gaussian
    mean_D: Tensor
    factor_DD: Tensor
    count: int
    seed: int

    @property
    def true(self) -> float:
        """The distance of endlessly many rows."""
        return Against(self.reference).distance(Gaussian(self.mean_D, self.factor_DD @ self.factor_DD.T))

    def samples(self, repeats: int, seed: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed + seed)
        for _ in range(repeats):
            rows_ND = torch.randn(self.count, len(self.mean_D), generator=generator, dtype=torch.float64)
            yield rows_ND @ self.factor_DD.T + self.mean_D

    def expected(self) -> float:
        """The mean distance at this sample size, from samples that no interval saw."""
        against = Against(self.reference)
        found = [against.distance(Moments.of(rows_ND).gaussian) for rows_ND in self.samples(MANY, seed=1)]
        return sum(found) / len(found)

    def intervals(self, blocks: int = BLOCKS) -> list[Interval]:
        against = Against(self.reference)
        return [
            jackknife([Moments.of(part) for part in rows_ND.tensor_split(blocks)], against.distance)
            for rows_ND in self.samples(REPEATS, seed=2)
        ]


def shifted(features: int, count: int, shift: float, seed: int) -> Case:
    """One covariance on both sides: all of the distance lies in the means."""
    factor_DD = spread(features, seed)
    reference = Gaussian(torch.zeros(features, dtype=torch.float64), factor_DD @ factor_DD.T)
    return Case(reference, torch.full((features,), shift, dtype=torch.float64), factor_DD, count, seed)


def unequal(features: int, count: int, seed: int) -> Case:
    """Two covariances that do not commute."""
    factor_DD = spread(features, seed + 100)
    return shifted(features, count, 0.2, seed)._replace(factor_DD=factor_DD)


def spread(features: int, seed: int) -> Tensor:
    """The lower root of a covariance without directions that are nearly flat."""
    generator = torch.Generator().manual_seed(seed)
    mix_DD = torch.randn(features, features, generator=generator, dtype=torch.float64) / sqrt(features)
    return torch.linalg.cholesky(mix_DD @ mix_DD.T + 0.2 * torch.eye(features, dtype=torch.float64))


@pytest.mark.parametrize("case", [shifted(8, 1000, 0.3, seed=0), unequal(12, 1000, seed=1)])
def test_the_interval_holds_the_mean_value_in_95_of_100_repeats(case: Case) -> None:
    """With a true rate of 95 %, fewer than 90 or more than 99 of 100 happen in 2 % of seeds; this is one."""
    expected = case.expected()
    intervals = case.intervals()
    assert 90 <= sum(one.low <= expected <= one.high for one in intervals) <= 99
    halved = [one._replace(low=one.value - one.error, high=one.value + one.error) for one in intervals]
    assert sum(one.low <= expected <= one.high for one in halved) < 85


def test_equal_distributions_make_it_wider_than_it_need_be() -> None:
    """Where the distance is all bias, the jackknife's error is about 1.4 times the true one."""
    case = shifted(8, 1000, 0.0, seed=3)
    expected, intervals = case.expected(), case.intervals()
    assert sum(one.low <= expected <= one.high for one in intervals) >= 94
    assert all(one.low >= 0 for one in intervals)


@pytest.mark.parametrize("case", [shifted(8, 1000, 0.3, seed=4), shifted(16, 500, 0.0, seed=5)])
def test_the_bias_is_the_excess_over_the_distance_of_the_distributions(case: Case) -> None:
    """Also in closed form for means: E|m - m1|^2 exceeds |m2 - m1|^2 by tr(C) / N; covariances add to it."""
    excess = case.expected() - case.true
    intervals = case.intervals()
    bias = sum(one.bias for one in intervals) / len(intervals)
    assert bias == pytest.approx(excess, rel=0.1)
    assert bias > float(case.reference.covariance_DD.trace()) / case.count


def test_a_sample_mean_is_known_exactly() -> None:
    """For |m|^2 in one dimension the leave-one-out values are elementary: bias s^2/N, error 2|m|s/sqrt(N)."""
    x_N = torch.arange(1.0, 11.0, dtype=torch.float64)
    found = jackknife([Moments.of(x.view(1, 1)) for x in x_N], lambda gaussian: float(gaussian.mean_D**2))
    variance, mean = float(x_N.var()), 5.5
    assert found.value == pytest.approx(mean**2, rel=1e-12)
    assert found.bias == pytest.approx(variance / 10, rel=1e-9)
    others = [((55 - x) / 9) ** 2 for x in x_N.tolist()]
    centre = sum(others) / 10
    error = sqrt(0.9 * sum((other - centre) ** 2 for other in others))
    assert found.error == pytest.approx(error, rel=1e-9)
    assert found.high - found.value == pytest.approx(2.262157 * error, rel=1e-6)


def test_empty_blocks_do_not_count_and_one_is_too_few() -> None:
    blocks = [Moments.of(part) for part in next(shifted(4, 60, 0.5, seed=6).samples(1, seed=0)).split(20)]
    against = Against(shifted(4, 60, 0.5, seed=6).reference)
    found = jackknife([*blocks, Moments.empty(4)], against.distance)
    assert found == jackknife(blocks, against.distance)
    with pytest.raises(ValueError, match="two blocks"):
        jackknife([blocks[0], Moments.empty(4)], against.distance)
