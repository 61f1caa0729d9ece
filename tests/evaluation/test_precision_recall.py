"""Precision and recall on sets whose answer is known by construction."""

import pytest
import torch

from genstudio.evaluation import precision_recall as module
from genstudio.evaluation.precision_recall import precision_recall


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
    for block in (7, 1000):
        monkeypatch.setattr(module, "BLOCK", block)
        assert tuple(precision_recall(real, made)) == pytest.approx(expected, abs=1e-12)


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="more than 3 rows"):
        precision_recall(cloud(3, 0, seed=6), cloud(9, 0, seed=7))
