"""The loss of a diffusion with learned variance: what a perfect prediction costs, who learns from what."""

import math

import pytest
import torch
from torch import Tensor

from genstudio.samplers.diffusion import Diffusion, cosine_abar
from genstudio.samplers.diffusion_loss import DiffusionLoss


@pytest.fixture(scope="module")
def loss() -> DiffusionLoss:
    return DiffusionLoss(Diffusion.retain(cosine_abar(), range(1000)))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed))


def test_a_perfect_prediction_costs_nothing_above_timestep_0(loss: DiffusionLoss) -> None:
    """The lower log variance is that of the posterior itself: share -1."""
    noise_NC, t_N = drawn(0, 5, 3), torch.tensor([1, 10, 300, 800, 999])
    said_N2C = torch.cat([noise_NC, -torch.ones(5, 3)], dim=1)
    parts = loss.losses(said_N2C, drawn(1, 5, 3), t_N, noise_NC)
    assert parts.mse_N.abs().max() == 0
    assert parts.bound_N.abs().max() < 1e-6


def test_a_variance_other_than_the_posteriors_costs_bits(loss: DiffusionLoss) -> None:
    """KL of two zero-mean normals, log variances a < b: (e^(a-b) - 1 - (a-b)) / 2 nats."""
    noise_NC, t_N = drawn(0, 1, 4), torch.tensor([400])
    said_N2C = torch.cat([noise_NC, torch.ones(1, 4)], dim=1)
    diffusion = loss.diffusion
    gap = float(diffusion.posterior_log_variance_T[400] - diffusion.beta_T.log()[400])
    expected = (math.exp(gap) - 1 - gap) / 2 / math.log(2)
    found = loss.losses(said_N2C, drawn(1, 1, 4), t_N, noise_NC).bound_N
    assert found.item() == pytest.approx(expected, rel=1e-3)


def test_the_likelihood_at_timestep_0_is_that_of_a_level(loss: DiffusionLoss) -> None:
    """A mean at the token itself with the posterior's variance: the mass within 1/255 of it."""
    clean_NC, t_N = torch.tensor([[0.25, -0.5]]), torch.tensor([0])
    said_N2C = torch.tensor([[0.0, 0.0, -1.0, -1.0]])
    std = math.exp(float(loss.diffusion.posterior_log_variance_T[0]) / 2)
    mass = math.erf(1 / 255 / std / math.sqrt(2))
    found = loss.losses(said_N2C, clean_NC, t_N, torch.zeros(1, 2)).bound_N
    assert found.item() == pytest.approx(-math.log2(mass), abs=2e-3)


def test_the_noise_learns_from_its_error_alone_and_the_variance_from_the_bound(loss: DiffusionLoss) -> None:
    said_N2C = drawn(2, 6, 8).requires_grad_()
    clean_NC, noise_NC, t_N = drawn(3, 6, 4), drawn(4, 6, 4), torch.arange(0, 600, 100)
    parts = loss.losses(said_N2C, clean_NC, t_N, noise_NC)
    (of_mse,) = torch.autograd.grad(parts.mse_N.sum(), said_N2C, retain_graph=True)
    (of_bound,) = torch.autograd.grad(parts.bound_N.sum(), said_N2C)
    assert of_mse[:, 4:].abs().sum() == 0 and of_mse[:, :4].abs().min() > 0
    assert of_bound[:, :4].abs().sum() == 0 and of_bound[:, 4:].abs().sum() > 0


def test_noised_tokens_keep_a_variance_of_one(loss: DiffusionLoss) -> None:
    """120,000 numbers at each of three timesteps: within 2 % of 1, five standard errors."""
    for t in (0, 500, 999):
        x = loss.noised(drawn(5, 60_000, 2), torch.full((60_000,), t), drawn(6, 60_000, 2))
        assert x.var().item() == pytest.approx(1, rel=0.02)
