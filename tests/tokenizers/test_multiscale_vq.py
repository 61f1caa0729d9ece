"""The multi-scale tokenizer: codes, the pyramid that a walk climbs, gradients, and the phi tie rule."""

from copy import deepcopy

import pytest
import torch

from genstudio.samplers.values import Codes
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ, phi_indices
from tests.releases import tiny


@pytest.fixture(scope="module")
def tokenizer() -> MultiScaleVQ:
    built = tiny.network(tiny.VQ)
    assert isinstance(built, MultiScaleVQ)
    for name, value in built.named_parameters():
        value.data *= 0.1 if "codebook" not in name else 1.0
    return built.double()


def picture(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, dtype=torch.float64, generator=torch.manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("scales", "phis", "expected"),
    [
        (10, 4, (0, 0, 1, 1, 1, 2, 2, 3, 3, 3)),
        (5, 4, (0, 1, 2, 2, 3)),
        (7, 4, (0, 0, 1, 2, 2, 3, 3)),
        (3, 1, (0, 0, 0)),
        (4, 4, (0, 1, 2, 3)),
        (6, 6, (0, 1, 2, 3, 4, 5)),
        (1, 4, (0,)),
    ],
)
def test_which_phi_serves_which_scale(scales: int, phis: int, expected: tuple[int, ...]) -> None:
    assert phi_indices(scales, phis) == expected


@torch.no_grad()
def test_codes_have_one_map_per_scale_and_decode_to_pictures(tokenizer: MultiScaleVQ) -> None:
    codes = tokenizer.encode(picture())
    assert [ids.shape for ids in codes.data] == [(2, 1), (2, 4), (2, 16)]
    assert tokenizer.decode(tokenizer.latents(codes)).shape == (2, 3, 8, 8)


@torch.no_grad()
def test_adding_scale_by_scale_is_what_latents_gives(tokenizer: MultiScaleVQ) -> None:
    codes, pyramid = tokenizer.encode(picture()), tokenizer.pyramid
    f = pyramid.start(2)
    for scale, ids in enumerate(codes.data):
        f = pyramid.add(f, pyramid.lookup(ids), scale)
    torch.testing.assert_close(f, tokenizer.latents(codes), atol=0, rtol=0)
    assert tokenizer.latents(Codes("latents", (f,))) is f


@torch.no_grad()
def test_every_scale_brings_the_latent_closer(tokenizer: MultiScaleVQ) -> None:
    """With a zero vector among the codes and phi the identity, no scale can make things worse."""
    target = torch.randn(2, 8, 4, 4, dtype=torch.float64, generator=torch.manual_seed(1))
    pyramid = tokenizer.pyramid
    pyramid.codebook.weight[0] = 0
    latents = pyramid.accumulate(pyramid.encode(target))
    errors = [float((latent - target).square().mean()) for latent in latents]
    assert errors[-1] < float(target.square().mean())


def test_gradients_reach_encoder_decoder_and_codebook(tokenizer: MultiScaleVQ) -> None:
    tokenizer.zero_grad()
    made = tokenizer(picture())
    (made.x_BCHW.square().mean() + made.vq_loss).backward()
    for name in ("encoder.conv_in.weight", "decoder.conv_out.weight", "quantize.codebook.weight"):
        gradient = tokenizer.get_parameter(name).grad
        assert gradient is not None and gradient.abs().sum() > 0


def test_the_straight_through_pass_decodes_what_the_codes_say(tokenizer: MultiScaleVQ) -> None:
    with torch.no_grad():
        made = tokenizer(picture())
        torch.testing.assert_close(made.x_BCHW, tokenizer.decode(tokenizer.latents(made.codes)))
        assert all(a.equal(b) for a, b in zip(made.codes.data, tokenizer.encode(picture()).data, strict=True))


@torch.no_grad()
def test_pictures_decoded_one_by_one_are_those_decoded_together(
    tokenizer: MultiScaleVQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = tokenizer.latents(tokenizer.encode(picture(3)))
    together = tokenizer.decode(latents)
    monkeypatch.setattr("genstudio.tokenizers.base.CPU_VALUES", 1)
    seen: list[int] = []
    hook = tokenizer.decoder.register_forward_hook(lambda _module, args, _made: seen.append(len(args[0])))
    one_by_one = tokenizer.decode(latents)
    hook.remove()
    assert seen == [1, 1, 1] and one_by_one.is_contiguous()
    torch.testing.assert_close(one_by_one, together, atol=1e-9, rtol=0)


@torch.no_grad()
def test_a_narrow_decoder_leaves_latents_and_the_type_of_pixels_alone(tokenizer: MultiScaleVQ) -> None:
    exact = deepcopy(tokenizer).float()
    narrow = deepcopy(exact)
    narrow.decoder.to(torch.bfloat16)
    codes = exact.encode(picture().float())
    assert narrow.latents(codes).equal(exact.latents(codes))
    pixels = narrow.decode(narrow.latents(codes))
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels, exact.decode(exact.latents(codes)), atol=0.05, rtol=0)
