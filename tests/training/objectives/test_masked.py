"""The masked objective: shares of the published distribution, keyed draws, dropped labels, a falling loss."""

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch

from genstudio import registry
from genstudio.errors import GenstudioError
from genstudio.generators.mar import MAR
from genstudio.releases import weights
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.training.initial import initialise
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.masked import MaskedObjective, masked_share
from genstudio.training.prepare import prepare
from genstudio.training.run import as_release
from tests.training import tiny

CPU = torch.device("cpu")


def make(pictures: Path, home: Path, **changes: Any) -> MaskedObjective:
    for tables, name in ((tiny.KL, "tiny-kl"), (tiny.VQ, "tiny-vq")):
        recipe = tiny.recipe(tables, pictures)
        network = initialise(registry.build(recipe.network, "cpu"), 0)
        weights.save_release(home / "models" / name, network, as_release(recipe, home, ()))
    made = prepare(tiny.recipe(tiny.MAR, pictures, **changes), CPU, lambda _: None).objective
    assert isinstance(made, MaskedObjective)
    return made


def batch(step: int = 0, rows: slice = slice(None)) -> Batch:
    index_B = torch.arange(8)[rows]
    place_B2 = torch.stack([torch.zeros_like(index_B), index_B], dim=1)
    return Batch(step, 0.0, index_B, At(torch.full_like(index_B, 3), place_B2), KeyedDraws(), index_B)


def test_shares_have_the_published_distribution() -> None:
    """A normal distribution around 1 with deviation 0.25, cut off at 0.7 and 1."""
    shares = torch.tensor([masked_share((i + 0.5) / 4000, 0.7, 0.25) for i in range(4000)])
    assert shares.min() >= 0.7 and shares.max() <= 1 and (shares.diff() >= 0).all()
    standard = NormalDist()
    whole = 0.5 - standard.cdf(-1.2)
    mean = 1 - 0.25 * (standard.pdf(0) - standard.pdf(-1.2)) / whole
    assert shares.mean().item() == pytest.approx(mean, abs=1e-3)
    assert masked_share(0.0, 0.7, 0.25) == 0.7 and masked_share(1.0, 0.7, 0.25) == 1.0


def test_a_fresh_network_has_the_loss_of_a_guess_and_learns(pictures: Path, home: Path) -> None:
    """A head that predicts no noise is wrong by the noise's variance: 8 pictures, 4 noises each."""
    objective = make(pictures, home)
    first = objective.losses(batch())
    assert first.parts["mse"].item() == pytest.approx(1, abs=0.1)
    optimizer = torch.optim.Adam(objective.network.parameters(), lr=1e-2)
    for step in range(25):
        optimizer.zero_grad()
        objective.losses(batch(step)).total.backward()
        optimizer.step()
    assert objective.losses(batch()).parts["mse"].item() < 0.8 * first.parts["mse"].item()


def test_every_pass_of_a_step_masks_the_same_number_of_tokens(pictures: Path, home: Path) -> None:
    """So that means over passes are those of the step."""
    objective = make(pictures, home)
    halves = [batch(5, rows) for rows in (slice(0, 4), slice(4, 8))]
    assert objective.share(halves[0]) == objective.share(halves[1]) == objective.share(batch(5))
    assert len({objective.share(batch(step)) for step in range(8)}) == 8
    whole = objective.losses(batch(5)).total.item()
    parts = [objective.losses(half).total.item() for half in halves]
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)


def test_every_epoch_learns_from_a_new_sample_of_the_posterior(pictures: Path, home: Path) -> None:
    objective = make(pictures, home)
    index_B = torch.arange(8)
    noise_BChw = torch.randn(8, 4, 4, 4, generator=torch.manual_seed(0))
    sampled, label_B = objective.train.take(index_B, None, noise_BChw)
    mean, _ = objective.train.take(index_B, None, None)
    std = objective.train.std[index_B].float()
    torch.testing.assert_close(sampled, mean + std * noise_BChw)
    assert (std > 0).all() and label_B.tolist() == [number % 10 for number in range(8)]
    flipped, _ = objective.train.take(index_B, torch.ones(8, dtype=torch.bool), None)
    assert not torch.allclose(flipped, mean)


def test_labels_that_drop_become_the_null_class(pictures: Path, home: Path) -> None:
    objective = make(pictures, home, objective__label_drop=1.0)
    assert isinstance(objective.network, MAR)
    with torch.no_grad():
        for value in objective.network.parameters():
            value.normal_(std=0.2, generator=torch.Generator().manual_seed(len(value)))
    before = objective.losses(batch()).total
    with torch.no_grad():
        objective.network.class_embed.weight.fill_(3.0)
    assert objective.losses(batch()).total.equal(before)
    with torch.no_grad():
        objective.network.null_class.fill_(3.0)
    assert not objective.losses(batch()).total.equal(before)


def test_the_network_shows_pictures_and_is_tested(pictures: Path, home: Path) -> None:
    objective = make(pictures, home)
    assert objective.picture(objective.network).shape == (16, 1, 32, 32)
    found = objective.evaluate(objective.network)
    assert found["test_mse"] == pytest.approx(1, abs=0.15) and math.isfinite(found["test_bound"])
    assert found == objective.evaluate(objective.network)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer__release": "tiny-vq"}, "no tokenizer for a mar"),
        ({"network__code_width": 8}, "code_width 8"),
        ({"network__side": 8}, "pixels 32, its grid has 64"),
        ({"objective__kind": "next_scale"}, "next_scale does not train a mar"),
    ],
)
def test_numbers_that_do_not_agree_are_refused(
    pictures: Path, home: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenstudioError, match=message):
        make(pictures, home, **changes)
