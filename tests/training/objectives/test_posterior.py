"""The KL tokenizer's objective: what it sums, noise keyed by example, a scale of the codes that settles."""

from pathlib import Path
from typing import Any

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.posterior import PosteriorObjective
from genstudio.training.prepare import prepare
from tests.training import tiny

CPU = torch.device("cpu")


def objective(pictures: Path, **changes: Any) -> PosteriorObjective:
    made = prepare(tiny.recipe(tiny.KL, pictures, **changes), CPU, lambda _: None).objective
    assert isinstance(made, PosteriorObjective)
    return made


def batch(epoch: int = 0, rows: slice = slice(None)) -> Batch:
    index_B = torch.arange(6)[rows]
    place_B2 = torch.stack([torch.full_like(index_B, epoch), index_B], dim=1)
    return Batch(0, 0.0, index_B, At(torch.full_like(index_B, 3), place_B2), KeyedDraws(), index_B)


def test_the_total_is_the_weighted_sum_of_the_parts(pictures: Path) -> None:
    losses = objective(pictures, objective__l1=0.5, objective__l2=2.0, objective__kl=0.25).losses(batch())
    parts = losses.parts
    expected = 0.5 * parts["l1"] + 2.0 * parts["l2"] + 0.25 * parts["kl"]
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert losses.counts == {}


def test_the_divergence_is_that_of_a_picture_by_its_pixels(pictures: Path) -> None:
    made = objective(pictures, data__flip=False)
    posterior = made.network.posterior(made.train.pixels(range(6)).float() / 127.5 - 1)
    expected = posterior.divergence().mean() / (32 * 32)
    assert made.losses(batch()).parts["kl"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_noise_is_keyed_by_epoch_and_example(pictures: Path) -> None:
    made = objective(pictures)
    assert made.losses(batch()).total.equal(made.losses(batch()).total)
    assert not made.losses(batch()).total.equal(made.losses(batch(epoch=1)).total)
    halves = [made.losses(batch(rows=rows)).total for rows in (slice(0, 3), slice(3, 6))]
    whole = made.losses(batch()).total.item()
    assert torch.stack(halves).mean().item() == pytest.approx(whole, rel=1e-5)


def test_it_learns_and_a_heavy_divergence_brings_the_codes_to_a_mean_square_of_one(pictures: Path) -> None:
    made = objective(pictures, objective__kl=3.0)
    optimizer = torch.optim.Adam(made.network.parameters(), lr=1e-2)
    first = made.losses(batch())
    for epoch in range(40):
        optimizer.zero_grad()
        losses = made.losses(batch(epoch))
        losses.total.backward()
        optimizer.step()
    assert losses.total.item() < 0.8 * first.total.item()
    assert losses.parts["square"].item() == pytest.approx(1, abs=0.25)


def test_the_network_shows_pictures_and_is_tested(pictures: Path) -> None:
    made = objective(pictures)
    assert made.picture(made.network).shape == (20, 1, 32, 32)
    assert made.evaluate(made.network)["test_l2"] > 0


def test_other_networks_and_objectives_are_refused(pictures: Path) -> None:
    for network in (tiny.VQ["network"], tiny.GRID_VQ["network"]):
        recipe = tiny.recipe({**tiny.KL, "network": network}, pictures)
        with pytest.raises(GenstudioError, match="kl_reconstruction does not train a"):
            prepare(recipe, CPU, lambda _: None)
