"""The twins where VAR uses them: a network says the same with either."""

import torch
from genstudio_kernels.select import Kernels

from genstudio.cache.makers import ragged_caches
from genstudio.generators.llamagen import LlamaGen
from genstudio.generators.var import VAR, teacher_forced
from genstudio.nn.twins import Twin, use_kernels
from genstudio.samplers.values import Causal, Feed, Given, Tree
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
def test_drafts_behind_rows_of_different_lengths_are_seen_the_same(twin_device: str) -> None:
    llama = tiny.network(tiny.CAPTIONED).to(twin_device)
    assert isinstance(llama, LlamaGen)
    plain = _drafts(llama)
    use_kernels(llama, "triton")
    torch.testing.assert_close(_drafts(llama), plain, atol=1e-5, rtol=1e-4)


def _drafts(llama: LlamaGen) -> torch.Tensor:
    """Logits of a tree of drafts behind a padded caption and one or three codes of it."""
    caption, device = tiny.CAPTIONED.caption, next(llama.parameters()).device
    assert caption is not None
    text = torch.randn(2, caption.slots, caption.width, generator=torch.manual_seed(0)).to(device)
    open_BT = torch.arange(caption.slots, device=device) < torch.tensor([[caption.slots], [1]], device=device)
    cond = llama.condition(Given(text=text, open_BT=open_BT), null=False)
    cache = ragged_caches(llama)(2, llama.order.slots, 4)
    x_BnC = torch.cat([cond.start_RTD, llama.embed(torch.tensor([[1, 2, 3], [4, 5, 6]], device=device))], 1)
    at_1n = torch.arange(x_BnC.shape[1], device=device)[None]
    llama(x_BnC, Feed(at_1n, Causal(), cond.open_through(x_BnC.shape[1])), cond, cache)
    cache.commit(torch.tensor([caption.slots + 3, caption.slots + 1], device=device))
    at_B4 = caption.slots + torch.tensor([[3, 4, 4, 5], [1, 2, 2, 3]], device=device)
    drafts = llama.embed(torch.tensor([[7, 8, 9, 1], [2, 3, 4, 5]], device=device))
    return llama.logits(llama(drafts, Feed(at_B4, Tree((-1, 0, 0, 2))), cond, cache), cond)


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
