"""Filters against VAR's recorded probabilities and against the plain full-sort rule."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.samplers.filters import apply
from genstudio.samplers.recipe import Allow, Filter, Temperature, TopK, TopP
from tests.support import parity_folder


def kept(filters: tuple[Filter, ...], logits: list[float]) -> list[int]:
    return apply(filters, torch.tensor(logits)).isfinite().nonzero()[:, 0].tolist()


@pytest.mark.parametrize("fixture", ["var-transformer", "var-transformer-shared"])
@pytest.mark.parametrize(
    ("name", "filters"),
    [("k6", (TopK(6),)), ("k12_p08", (TopK(12), TopP(0.8))), ("p07", (TopP(0.7),))],
)
def test_recorded_probabilities(fixture: str, name: str, filters: tuple[Filter, ...]) -> None:
    io = load_file(parity_folder(fixture) / "io.safetensors")
    probs = apply(filters, io["sampler_logits"]).softmax(-1)
    torch.testing.assert_close(probs, io[f"sampler_probs_{name}"], atol=2e-6, rtol=0)


def test_ties_at_the_threshold_of_top_k_stay() -> None:
    assert kept((TopK(2),), [1.0, 3.0, 2.0, 2.0]) == [1, 2, 3]
    assert kept((TopK(9),), [1.0, 3.0]) == [0, 1]


def test_top_p_keeps_the_id_that_crosses_p() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert kept((TopP(0.6),), logits) == [0, 1]
    assert kept((TopP(0.81),), logits) == [0, 1, 2]
    assert kept((TopP(0.0),), logits) == [0]
    assert kept((TopP(1.0),), logits) == [0, 1, 2, 3]


def test_filters_run_in_the_order_given() -> None:
    """After top-k the shares grow, so top-p removes more than it would have before."""
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().tolist()
    assert kept((TopK(2), TopP(0.5)), logits) == [0]
    assert kept((TopP(0.5), TopK(2)), logits) == [0, 1]


def test_temperature_and_allowed_ids() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert apply((Temperature(0.5),), logits).tolist() == [2.0, 4.0, 6.0, 8.0]
    assert kept((Allow(1, 3),), logits.tolist()) == [1, 2]
    assert apply((), logits) is logits


def full_sort_top_p(logits: Tensor, p: float) -> Tensor:
    """VAR's rule on the whole vocabulary."""
    ascending, ids = logits.sort(-1)
    removed = ascending.softmax(-1).cumsum(-1) <= 1 - p
    removed[..., -1] = False
    return logits.masked_fill(removed.gather(-1, ids.argsort(-1)), -torch.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 0.99])
def test_sorting_the_candidates_alone_changes_nothing(dtype: torch.dtype, p: float) -> None:
    logits = torch.randn(3, 2, 200, generator=torch.Generator().manual_seed(0), dtype=dtype) * 3
    before = logits.clone()
    for filters in ((), (TopK(20),), (TopK(1),)):
        expected = full_sort_top_p(apply(filters, logits), p)
        assert torch.equal(apply((*filters, TopP(p)), logits), expected)
    assert torch.equal(logits, before)
