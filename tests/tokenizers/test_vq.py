"""The VQ tokenizer: codes in raster order of any grid, compared by angle, decoded at length 1."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genstudio.configs.vq import VQConfig
from genstudio.samplers.values import Codes
from genstudio.tokenizers.vq import VQ
from tests.releases import tiny


def built(config: VQConfig = tiny.GRID_VQ) -> VQ:
    network = tiny.network(config)
    assert isinstance(network, VQ)
    for name, value in network.named_parameters():
        value.data *= 0.2 if "codebook" not in name else 1.0
    return network.double()


@pytest.fixture(scope="module")
def tokenizer() -> VQ:
    return built()


def picture(count: int = 2, height: int = 8, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, dtype=torch.float64, generator=generator) * 2 - 1


@torch.no_grad()
def test_codes_stand_in_raster_order_of_a_grid_that_need_not_be_square(tokenizer: VQ) -> None:
    codes = tokenizer.encode(picture())
    assert codes.data[0].shape == (2, 6) and codes.grid == (2, 3)
    latents = tokenizer.latents(codes)
    for row in range(2):
        for column in range(3):
            vectors = tokenizer.quantize.lookup(codes.data[0][:, 3 * row + column])
            assert latents[:, :, row, column].equal(vectors)
    assert tokenizer.decode(latents).shape == (2, 3, 8, 12)


@torch.no_grad()
def test_ids_without_a_grid_are_a_square(tokenizer: VQ) -> None:
    codes = tokenizer.encode(picture(height=12))
    assert tokenizer.latents(codes._replace(grid=None)).equal(tokenizer.latents(codes))


@torch.no_grad()
def test_the_code_of_a_cell_is_the_one_at_the_smallest_angle(tokenizer: VQ) -> None:
    features = tokenizer.features(picture())
    cosine = torch.cosine_similarity(
        features[:, :, None], tokenizer.quantize.table_VC.T[None, :, :, None, None]
    )
    assert tokenizer.encode(picture()).data[0].equal(cosine.argmax(1).flatten(1))


@torch.no_grad()
def test_lengths_of_stored_codes_mean_nothing_where_they_are_normalised(tokenizer: VQ) -> None:
    lengths = torch.linspace(0.1, 7, tiny.GRID_VQ.vocab, dtype=torch.float64)[:, None]
    for normalised in (True, False):
        plain = tokenizer if normalised else built(replace(tiny.GRID_VQ, normalised=False))
        scaled = built(plain.config)
        scaled.quantize.codebook.weight *= lengths
        codes, again = plain.encode(picture()), scaled.encode(picture())
        assert codes.data[0].equal(again.data[0]) is normalised
        close = torch.allclose(plain.latents(codes), scaled.latents(codes))
        assert close is normalised


@torch.no_grad()
def test_latents_of_unknown_codes_are_zero_whatever_their_ids_say(tokenizer: VQ) -> None:
    codes = tokenizer.encode(picture())
    known_BL = torch.arange(6).expand(2, 6) < torch.tensor([[2], [5]])
    partial = tokenizer.latents(codes._replace(known_BL=known_BL))
    other = torch.where(known_BL, codes.data[0], 0)
    assert partial.equal(tokenizer.latents(Codes("ids", (other,), known_BL, codes.grid)))
    whole = tokenizer.latents(codes)
    shown_BL = partial.square().sum(1).flatten(1) > 0
    assert shown_BL.equal(known_BL)
    assert partial.flatten(2)[:, :, :2].equal(whole.flatten(2)[:, :, :2])
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(2, 2, 3, dtype=torch.float64))


@torch.no_grad()
def test_the_training_pass_shows_what_sampling_will_decode(tokenizer: VQ) -> None:
    made = tokenizer(picture())
    assert made.codes.data[0].equal(tokenizer.encode(picture()).data[0])
    torch.testing.assert_close(made.x_BCHW, tokenizer.decode(tokenizer.latents(made.codes)))


def test_the_codebook_loss_is_the_distance_on_the_sphere_and_reaches_all_parts(tokenizer: VQ) -> None:
    """(1 + beta) times the mean square between unit vectors, which is (2 - 2 cos) / width."""
    tokenizer.zero_grad()
    made = tokenizer(picture())
    features = tokenizer.features(picture()).detach()
    cosine = torch.cosine_similarity(features, tokenizer.latents(made.codes))
    expected = 1.25 * (2 - 2 * cosine).mean() / tiny.GRID_VQ.code_width
    assert made.vq_loss.item() == pytest.approx(expected.item(), rel=1e-9)
    (made.x_BCHW.square().mean() + made.vq_loss).backward()
    for name in ("encoder.conv_in.weight", "decoder.conv_out.weight", "quantize.codebook.weight"):
        gradient = tokenizer.get_parameter(name).grad
        assert gradient is not None and gradient.abs().sum() > 0


def test_gradients_pass_the_quantiser_as_if_it_were_not_there(tokenizer: VQ) -> None:
    f = torch.randn(1, 4, 2, 2, dtype=torch.float64, generator=torch.manual_seed(1)).requires_grad_()
    pull = torch.randn(1, 4, 2, 2, dtype=torch.float64, generator=torch.manual_seed(2))
    (through,) = torch.autograd.grad((tokenizer.quantize(f)[0] * pull).sum(), f)
    (direct,) = torch.autograd.grad((torch.nn.functional.normalize(f, dim=1) * pull).sum(), f)
    torch.testing.assert_close(through, direct)
