"""MAR's diffusion head: what is prepared once, and what a chain may change. N tokens, C channels."""

import math

import pytest
import torch

from genstudio.nn.denoiser import Denoiser
from genstudio.nn.embed import sinusoid
from genstudio.samplers.values import ALL


@pytest.fixture
def head() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(channels=4, outputs=8, condition=6, width=16, depth=2).eval()


@torch.no_grad()
def test_a_time_per_token_equals_a_step_of_a_chain(head: Denoiser) -> None:
    x_NC, z_ND = torch.randn(5, 4), torch.randn(5, 6)
    chain = head.prepare(z_ND, torch.tensor([10.0, 400.0]))
    own = head.prepare(z_ND, torch.full((5,), 400.0))
    torch.testing.assert_close(head(x_NC, ALL, own), head(x_NC, 1, chain))
    assert not torch.allclose(head(x_NC, 0, chain), head(x_NC, 1, chain))


@torch.no_grad()
def test_tokens_do_not_see_each_other(head: Denoiser) -> None:
    x_NC, z_ND = torch.randn(5, 4), torch.randn(5, 6)
    whole = head(x_NC, 0, head.prepare(z_ND, torch.tensor([3.0])))
    alone = head(x_NC[2:3], 0, head.prepare(z_ND[2:3], torch.tensor([3.0])))
    torch.testing.assert_close(whole[2:3], alone)


def test_the_sinusoid_has_its_cosines_first() -> None:
    wave = sinusoid(torch.tensor([0.0, 2.0]), 4, max_period=100.0)
    expected = [math.cos(2), math.cos(0.2), math.sin(2), math.sin(0.2)]
    torch.testing.assert_close(wave, torch.tensor([[1, 1, 0, 0], expected]))
