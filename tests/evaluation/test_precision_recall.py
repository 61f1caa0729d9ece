"""Precision, recall, density and coverage on sets whose answer is known by construction."""

from math import prod

import pytest
import torch

from genstudio.evaluation import precision_recall as module
from genstudio.evaluation.precision_recall import density_coverage, precision_recall


def cloud(rows: int, centre: float, seed: int) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed)) + centre


def by_definition(real: torch.Tensor, made: torch.Tensor, k: int) -> tuple[float, float]:
    def share(points: torch.Tensor, centres: torch.Tensor) -> float:
        inside = 0
        for point in points.double():
            for i, centre in enumerate(centres.double()):
                others = torch.cat([centres[:i], centres[i + 1 :]]).double()
                radius = (others - centre).norm(dim=1).sort().values[k - 1]
                if (point - centre).norm() <= radius:
                    inside += 1
                    break
        return inside / len(points)

    return share(made, real), share(real, made)


def test_equal_sets_and_far_sets() -> None:
    real = cloud(50, 0, seed=0)
    assert precision_recall(real, real.clone()) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)


def test_lost_modes_cost_recall_and_rubbish_costs_precision() -> None:
    two_modes = torch.cat([cloud(100, 0, seed=1), cloud(100, 50, seed=2)])
    one_mode = cloud(100, 0, seed=3)
    precision, recall = precision_recall(two_modes, one_mode)
    assert precision > 0.8 and 0.3 < recall < 0.51
    precision, recall = precision_recall(one_mode, two_modes)
    assert 0.3 < precision < 0.51 and recall > 0.8


def test_blocks_do_not_show_and_the_definition_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = cloud(40, 0, seed=4), cloud(30, 0.7, seed=5)
    expected = by_definition(real, made, k=3)
    assert 0 < expected[0] < 1 and 0 < expected[1] < 1
    for rows in (7, 1000):
        monkeypatch.setattr(module, "BLOCK_BYTES", rows * 8 * 40)
        assert tuple(precision_recall(real, made)) == pytest.approx(expected, abs=1e-12)


def test_near_points_far_from_the_origin_are_told_apart() -> None:
    """Distances of 1e-2 at an offset of 1e3: float32 would lose them in the matrix product."""
    real, made = cloud(300, 0, seed=8).double() * 1e-2, cloud(300, 0.5, seed=9).double() * 1e-2
    near = precision_recall(real, made)
    assert 0.3 < near.precision < 0.99
    assert precision_recall(real + 1e3, made + 1e3) == pytest.approx(near, abs=1e-6)


def test_density_and_coverage_by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made, k = cloud(40, 0, seed=4).double(), cloud(30, 0.7, seed=5).double(), 5
    inside = torch.zeros(40, 30)
    for i, centre in enumerate(real):
        others = torch.cat([real[:i], real[i + 1 :]])
        radius = (others - centre).norm(dim=1).sort().values[k - 1]
        inside[i] = ((made - centre).norm(dim=1) <= radius).float()
    expected = (float(inside.sum()) / (k * 30), float(inside.any(1).float().mean()))
    for rows in (7, 1000):
        monkeypatch.setattr(module, "BLOCK_BYTES", rows * 8 * 40)
        assert tuple(density_coverage(real, made)) == pytest.approx(expected, abs=1e-6)


def test_equal_distributions_have_density_one_and_the_coverage_of_the_paper() -> None:
    """E density = 1, E coverage = 1 - (N-1)...(N-k) / (2N-1)...(2N-k) for N rows a side of any law."""
    rows, k = 1000, 5
    found = density_coverage(cloud(rows, 0, seed=10), cloud(rows, 0, seed=11))
    expected = 1 - prod((rows - i) / (2 * rows - i) for i in range(1, k + 1))
    assert found.density == pytest.approx(1, abs=0.06)
    assert found.coverage == pytest.approx(expected, abs=0.02)


def test_lost_modes_cost_coverage_and_rubbish_costs_density() -> None:
    two_modes = torch.cat([cloud(200, 0, seed=1), cloud(200, 50, seed=2)])
    one_mode = cloud(200, 0, seed=3)
    assert density_coverage(two_modes, one_mode).coverage < 0.51
    lost = density_coverage(one_mode, two_modes)
    assert 0.4 < lost.density < 0.6 and lost.coverage > 0.9


def test_one_outlier_buys_precision_and_no_density() -> None:
    """A real point far away has a ball that holds everything: the reason for density."""
    real = torch.cat([cloud(200, 0, seed=12), torch.full((1, 4), 40.0)])
    rubbish = cloud(200, 15, seed=13)
    assert precision_recall(real, rubbish).precision > 0.9
    assert density_coverage(real, rubbish).density < 0.25


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="more than 3 rows"):
        precision_recall(cloud(3, 0, seed=6), cloud(9, 0, seed=7))
    with pytest.raises(ValueError, match="more than 5 rows"):
        density_coverage(cloud(5, 0, seed=6), cloud(9, 0, seed=7))
    assert density_coverage(cloud(6, 0, seed=6), cloud(1, 0, seed=7)).coverage <= 1
