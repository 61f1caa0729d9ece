"""MAR as a pure network: unknown tokens are not looked at, rows and asked places do not change each other."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genstudio.generators.mar import MAR, initialise, split, token_losses
from genstudio.releases.rename import from_official, to_official
from genstudio.releases.tables import table_for
from genstudio.samplers.diffusion import Diffusion, cosine_abar
from genstudio.samplers.diffusion_loss import DiffusionLoss
from genstudio.samplers.values import Given
from tests.releases import tiny

LABELS = torch.tensor([1, 5, 9])


@pytest.fixture(scope="module")
def network() -> MAR:
    built = tiny.network(tiny.MASKED).double()
    assert isinstance(built, MAR)
    for value in built.parameters():
        value.data *= 0.3
    return built


def tokens(seed: int = 0) -> Tensor:
    shape = (3, tiny.MASKED.codes, tiny.MASKED.token_width)
    return torch.randn(shape, generator=torch.manual_seed(seed)).double()


def places(known: int = 5) -> tuple[Tensor, Tensor]:
    """Masked and known ones of three pictures."""
    order_BL = torch.rand(3, tiny.MASKED.codes, generator=torch.manual_seed(3)).argsort(-1)
    return split(order_BL, tiny.MASKED.codes - known)


@torch.no_grad()
def test_tokens_at_unknown_places_are_not_looked_at(network: MAR) -> None:
    masked_Bm, known_Bn = places()
    cond = network.condition(Given(LABELS), null=False)
    other = tokens().scatter(1, masked_Bm[..., None].expand(-1, -1, tiny.MASKED.token_width), 7.0)
    assert network(tokens(), known_Bn, cond).equal(network(other, known_Bn, cond))
    assert not torch.allclose(network(tokens(), known_Bn, cond), network(tokens(1), known_Bn, cond))


@torch.no_grad()
def test_asking_for_some_places_gives_what_all_of_them_give(network: MAR) -> None:
    masked_Bm, known_Bn = places()
    cond = network.condition(Given(LABELS), null=False)
    whole = network(tokens(), known_Bn, cond)
    asked_Bm = masked_Bm[:, 2:6]
    some = network(tokens(), known_Bn, cond, asked_Bm)
    torch.testing.assert_close(some, torch.take_along_dim(whole, asked_Bm[..., None], 1))


@torch.no_grad()
def test_rows_do_not_see_each_other_and_null_rows_follow(network: MAR) -> None:
    _, known_Bn = places()
    cond = network.condition(Given(LABELS), null=True)
    whole = network(cond.spread(tokens()), cond.spread(known_Bn), cond)
    alone = network(tokens()[1:2], known_Bn[1:2], cond.take(slice(1, 2)))
    torch.testing.assert_close(whole[1:2], alone)
    of_none = network.condition(Given(torch.full((3,), tiny.MASKED.classes)), null=False)
    torch.testing.assert_close(whole[3:], network(tokens(), known_Bn, of_none))
    assert not torch.allclose(whole[:3], whole[3:])


@torch.no_grad()
def test_a_picture_without_known_tokens_is_the_first_step(network: MAR) -> None:
    cond = network.condition(Given(LABELS), null=False)
    nothing_B0 = torch.empty(3, 0, dtype=torch.int64)
    assert network(tokens(), nothing_B0, cond).equal(network(tokens(1), nothing_B0, cond))


def test_labels_are_needed(network: MAR) -> None:
    with pytest.raises(ValueError, match="labels"):
        network.condition(Given(), null=False)


@pytest.mark.parametrize("patch", [1, 2])
def test_tokens_of_several_cells_hold_channel_by_channel(patch: int) -> None:
    network = MAR(replace(tiny.MASKED, patch=patch, side=4 // patch))
    latents = torch.arange(2 * 4 * 4 * 4).view(2, 4, 4, 4)
    tokens_BLC = network.tokens(latents)
    assert tokens_BLC.shape == (2, network.config.codes, network.channels)
    assert tokens_BLC[0, 0, : patch**2].tolist() == latents[0, 0, :patch, :patch].flatten().tolist()
    assert network.latents(tokens_BLC).equal(latents)


def test_official_names_go_both_ways(network: MAR) -> None:
    table = table_for(tiny.MASKED)
    official = to_official(network.state_dict(), table)
    assert official["fake_latent"].shape == (1, 32) and "diffloss.net.res_blocks.1.in_ln.bias" in official
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    back = from_official(official, table, shapes).tensors
    assert all(value.equal(back[name]) for name, value in network.state_dict().items())


def test_a_fresh_network_predicts_no_noise_and_an_even_share_of_the_variance() -> None:
    """Its squared error is the variance of the noise: within 4 standard errors of 1 (2,304 numbers)."""
    fresh = MAR(tiny.MASKED)
    initialise(fresh, torch.Generator().manual_seed(0))
    loss = DiffusionLoss(Diffusion.retain(cosine_abar(), range(1000)))
    generator = torch.manual_seed(1)
    order_BL = torch.rand(3, tiny.MASKED.codes, generator=generator).argsort(-1)
    t_kBm = torch.randint(1000, (16, 3, 12), generator=generator)
    noise_kBmC = torch.randn(16, 3, 12, tiny.MASKED.token_width, generator=generator)
    with torch.no_grad():
        parts = token_losses(fresh, loss, tokens().float(), Given(LABELS), order_BL, t_kBm, noise_kBmC)
    assert parts.mse_N.shape == (16 * 3 * 12,)
    assert parts.mse_N.mean().item() == pytest.approx(1, abs=4 * (2 / parts.mse_N.numel() / 4) ** 0.5)


def test_known_tokens_have_no_loss_and_get_gradients_through_attention_alone(network: MAR) -> None:
    loss = DiffusionLoss(Diffusion.retain(cosine_abar(), range(1000)))
    order_BL = torch.arange(tiny.MASKED.codes).expand(3, -1)
    tokens_BLC = tokens().requires_grad_()
    t_kBm = torch.full((1, 3, 9), 500)
    noise_kBmC = torch.zeros(1, 3, 9, tiny.MASKED.token_width)
    parts = token_losses(network, loss, tokens_BLC, Given(LABELS), order_BL, t_kBm, noise_kBmC)
    assert parts.mse_N.shape == (27,)
    (gradient,) = torch.autograd.grad(parts.mse_N.sum(), tokens_BLC)
    assert gradient[:, 9:].abs().sum() > 0
