"""The twins where VAR uses them: a network says the same with either."""

import torch
from genstudio_kernels.select import Kernels

from genstudio.generators.var import VAR, teacher_forced
from genstudio.nn.twins import Twin, use_kernels
from genstudio.samplers.values import Given
from genstudio.studio import Studio
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from tests.releases import tiny


def kernels_of(network: torch.nn.Module) -> set[Kernels]:
    return {module.kernels for module in network.modules() if isinstance(module, Twin)}


@torch.no_grad()
def test_the_transformer_says_the_same(twin_device: str) -> None:
    var = tiny.network(tiny.GENERATOR).to(twin_device)
    assert isinstance(var, VAR)
    for value in var.parameters():
        value.mul_(0.15)
    feeds, given = torch.randn(2, 20, 8, device=twin_device), Given(torch.tensor([1, 2], device=twin_device))
    plain = teacher_forced(var, feeds, given)
    use_kernels(var, "triton")
    torch.testing.assert_close(teacher_forced(var, feeds, given), plain, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_tokenizer_finds_the_same_codes(twin_device: str) -> None:
    tokenizer = tiny.network(tiny.VQ).to(twin_device)
    assert isinstance(tokenizer, MultiScaleVQ)
    latent_BChw = torch.randn(2, 8, 4, 4, device=twin_device)
    plain = tokenizer.pyramid.encode(latent_BChw)
    use_kernels(tokenizer, "triton")
    again = tokenizer.pyramid.encode(latent_BChw)
    assert all(one.equal(other) for one, other in zip(plain.data, again.data, strict=True))


def test_the_studio_passes_its_choice_on(tiny_var: str, twin_device: str) -> None:
    studio = Studio.load(tiny_var, device=twin_device, kernels="triton")
    assert kernels_of(studio.generator) == kernels_of(studio.tokenizer) == {"triton"}
    assert studio.sample(classes=3, n=2)[1].pixels_CHW.shape == (3, 8, 8)


def test_fresh_networks_and_a_studio_on_a_cpu_run_the_torch_twins(tiny_var: str) -> None:
    studio = Studio.load(tiny_var, device="cpu")
    for network in (studio.generator, studio.tokenizer, tiny.network(tiny.GENERATOR)):
        assert kernels_of(network) == {"torch"}
