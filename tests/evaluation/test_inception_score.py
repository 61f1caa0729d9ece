"""Inception score: torch-fidelity's value from batches in any order, and the ADM evaluator's chunks."""

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

from genstudio.errors import GenstudioError
from genstudio.evaluation.inception_score import InceptionScore


def logits(rows: int, classes: int = 20, seed: int = 0) -> Tensor:
    return 2 * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


def scored(logits_NK: Tensor, score: InceptionScore, batch: int = 17) -> tuple[float, float]:
    """Batches from last to first."""
    for first in reversed(range(0, len(logits_NK), batch)):
        score.add(first, logits_NK[first : first + batch])
    return score.result()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("rows", "splits"), [(100, 10), (103, 10), (61, 4), (7, 7)])
def test_it_is_torch_fidelitys(rows: int, splits: int, shuffle: bool) -> None:
    expected = isc_features_to_metric(logits(rows), splits, shuffle, 2020)
    found = scored(logits(rows), InceptionScore(rows, splits, shuffle=shuffle))
    assert found == pytest.approx((expected[KEY_METRIC_ISC_MEAN], expected[KEY_METRIC_ISC_STD]), rel=1e-10)


def test_another_seed_is_another_shuffle() -> None:
    one, other = (scored(logits(100), InceptionScore(100, 10, seed=seed)) for seed in (1, 2))
    assert one != other


def test_adm_takes_chunks_in_the_order_given() -> None:
    """75 rows in chunks of 30: two of them and one of 15, each counting alike in the mean."""
    logits_NK = logits(75)
    parts = [isc_features_to_metric(part, 1, False)[KEY_METRIC_ISC_MEAN] for part in logits_NK.split(30)]
    found = scored(logits_NK, InceptionScore(75, chunk=30, shuffle=False))
    assert found[0] == pytest.approx(sum(parts) / 3, rel=1e-10)


def test_certain_and_varied_is_the_number_of_classes() -> None:
    certain_NK = 1e3 * torch.eye(10).repeat(20, 1)
    assert scored(certain_NK, InceptionScore(200, 10, shuffle=False)) == pytest.approx((10, 0), abs=1e-9)
    sorted_NK = 1e3 * torch.eye(10).repeat_interleave(20, 0)
    assert scored(sorted_NK, InceptionScore(200, 10, shuffle=False)) == pytest.approx((1, 0), abs=1e-9)


def test_every_row_is_needed_once() -> None:
    score = InceptionScore(40, 4)
    score.add(0, logits(30))
    with pytest.raises(ValueError, match="30 of 40"):
        score.result()
    score.add(20, logits(20))
    with pytest.raises(ValueError, match="50 of 40"):
        score.result()


def test_fewer_rows_than_splits() -> None:
    with pytest.raises(GenstudioError, match="9 pictures cannot be split into 10"):
        InceptionScore(9, 10)
    with pytest.raises(GenstudioError, match="0 pictures"):
        InceptionScore(0, chunk=5000)
