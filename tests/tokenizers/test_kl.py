"""The KL tokenizer: posteriors of cells, scaled codes, samples by keyed draws, unknown codes at the mean."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genstudio.releases.rename import from_official, to_official
from genstudio.releases.tables import table_for
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.values import Codes
from genstudio.tokenizers.kl import KL, Posterior
from genstudio.tokenizers.protocol import Sampling
from tests.releases import tiny


@pytest.fixture(scope="module")
def tokenizer() -> KL:
    network = tiny.network(tiny.KL)
    assert isinstance(network, KL)
    for value in network.parameters():
        value.data *= 0.2
    return network.double()


def picture(count: int = 2, height: int = 8, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, dtype=torch.float64, generator=generator) * 2 - 1


@torch.no_grad()
def test_without_draws_a_code_is_the_scaled_mean(tokenizer: KL) -> None:
    codes = tokenizer.encode(picture())
    assert codes.kind == "latents" and codes.data[0].shape == (2, 4, 2, 3)
    mean = tokenizer.features(picture())[:, :4]
    torch.testing.assert_close(codes.data[0], mean * tokenizer.config.scale)
    assert tokenizer.decode(tokenizer.latents(codes)).shape == (2, 3, 8, 12)


@torch.no_grad()
def test_samples_of_a_picture_are_the_same_in_any_batch(tokenizer: KL) -> None:
    draws, seed_B = KeyedDraws(), torch.tensor([5, 9])
    together = tokenizer.encode(picture(), Sampling(draws, seed_B)).data[0]
    alone = tokenizer.encode(picture()[1:], Sampling(draws, seed_B[1:])).data[0]
    torch.testing.assert_close(together[1:], alone)
    other = tokenizer.encode(picture()[1:], Sampling(draws, seed_B[:1])).data[0]
    assert not torch.allclose(alone, other)


def test_samples_have_the_mean_and_the_deviation_of_the_posterior() -> None:
    """40,000 numbers: the mean lies within 4 standard errors of 1.5, but for one seed in 16,000."""
    mean, logvar = torch.full((1, 1, 200, 200), 1.5), torch.full((1, 1, 200, 200), -2.0)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1))
    sample = Posterior(mean, logvar).sample(noise)
    std = torch.tensor(-1.0).exp().item()
    assert abs(sample.mean().item() - 1.5) < 4 * std / 200
    assert sample.std().item() == pytest.approx(std, rel=0.02)


def test_the_divergence_is_torchs_own() -> None:
    mean, logvar = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    ours = Posterior(mean, logvar).divergence()
    normal = torch.distributions.Normal(mean, (logvar / 2).exp())
    standard = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    theirs = torch.distributions.kl_divergence(normal, standard).flatten(1).sum(1)
    torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_a_log_variance_beyond_the_limits_is_clamped(tokenizer: KL) -> None:
    wild = tiny.network(tiny.KL)
    assert isinstance(wild, KL)
    wild.quant_conv.bias[4:] = 1e4
    logvar = wild.posterior(picture().float()).logvar_BChw
    assert logvar.max() == 20


@torch.no_grad()
def test_unknown_codes_are_the_mean_of_all(tokenizer: KL) -> None:
    z_BChw = torch.ones(1, 4, 2, 2)
    known_BL = torch.tensor([[True, False, False, True]])
    latents = tokenizer.latents(Codes("latents", (z_BChw,), known_BL))
    assert latents[0, 0].tolist() == [[1, 0], [0, 1]]


@torch.no_grad()
def test_the_scale_of_codes_changes_no_picture(tokenizer: KL) -> None:
    other = KL(replace(tiny.KL, scale=3.0)).double()
    other.load_state_dict(tokenizer.state_dict())
    pictures = [one.decode(one.latents(one.encode(picture()))) for one in (tokenizer, other)]
    torch.testing.assert_close(*pictures)


@pytest.mark.parametrize(("levels", "attended"), [((-1,), {2}), ((), set()), ((0, 2), {0, 2}), ((1,), {1})])
def test_attention_stands_at_the_levels_that_are_named(levels: tuple[int, ...], attended: set[int]) -> None:
    network = KL(replace(tiny.KL, attention=levels, decoder_attention=levels))
    for side in (network.encoder.down, network.decoder.up):
        assert {number for number, level in enumerate(side) if len(level.get_submodule("attn"))} == attended


def test_official_names_keep_queries_keys_and_values_apart_and_losses_are_dropped() -> None:
    network, table = tiny.network(tiny.KL), table_for(tiny.KL)
    official = to_official(network.state_dict(), table)
    assert official["encoder.down.2.attn.0.k.weight"].shape == (16, 16, 1, 1)
    assert not any("qkv" in name or name.startswith("decoder.up.2.attn") for name in official)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    back = from_official(official | {"loss.logvar": torch.zeros(())}, table, shapes)
    assert back.dropped == ("loss.logvar",)
    assert all(value.equal(network.state_dict()[name]) for name, value in back.tensors.items())
