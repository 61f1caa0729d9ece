"""MAR's releases against the published facts, and its files in every form that people have them in.

The lists of names are written from the description of the architecture, never from the tables under test.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.errors import Exit, GenstudioError
from genstudio.releases import catalogue, weights
from genstudio.releases.imports import import_file
from genstudio.releases.official_mar import GENERATORS, TOKENIZER
from genstudio.releases.pairing import pixels_of, tokenizer_of
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from genstudio.samplers.guidance import Linear
from genstudio.samplers.steps import DDPM, Denoising, Fixed
from tests.releases import tiny
from tests.releases.taming import Named, attention, conv, linear, norm, res_block

pytestmark = pytest.mark.usefixtures("home")

# parameters in all and of the diffusion head, depth, width, head depth, head width, cfg, FID, IS
FACTS = {
    "mar-b": (207.92, 35.75, 12, 768, 6, 1024, 2.9, 2.31, 281.7),
    "mar-l": (478.33, 72.23, 16, 1024, 8, 1280, 3.0, 1.78, 296.0),
    "mar-h": (942.40, 151.21, 20, 1280, 12, 1536, 3.2, 1.55, 303.7),
}


@pytest.mark.parametrize("name", FACTS)
def test_a_network_has_its_published_numbers_of_parameters(name: str) -> None:
    shapes = registry.shapes(catalogue.find(name).config)
    whole, head, *_ = FACTS[name]
    assert round(sum(shape.numel() for shape in shapes.values()) / 1e6, 2) == whole
    assert round(sum(one.numel() for key, one in shapes.items() if key.startswith("head.")) / 1e6, 2) == head


def test_the_tokenizer_has_its_published_numbers_of_parameters() -> None:
    shapes = registry.shapes(TOKENIZER.config)
    sides = {"encoder": ("encoder.", "quant_conv."), "decoder": ("decoder.", "post_quant_conv.")}
    for side, millions in {"encoder": 28.27, "decoder": 38.19}.items():
        numbers = sum(shape.numel() for key, shape in shapes.items() if key.startswith(sides[side]))
        assert round(numbers / 1e6, 2) == millions
    assert round(sum(shape.numel() for shape in shapes.values()) / 1e6, 2) == 66.46


@pytest.mark.parametrize("name", FACTS)
def test_a_release_is_sampled_and_scored_as_published(name: str) -> None:
    release = catalogue.find(name)
    *_, cfg, fid, inception = FACTS[name]
    guidance, protocol = release.recipe.guidance, release.protocol
    assert guidance is not None and (guidance.cfg, guidance.ramp) == (cfg, Linear())
    assert release.recipe.steps == 256
    assert release.recipe.head == Denoising(steps=Fixed(100), chain=DDPM(), temperature=1.0)
    assert protocol is not None and (protocol.samples, protocol.labels) == (50_000, "balanced")
    found = {score.metric: score.value for score in release.reported}
    assert (found["FID-50k"], found["IS-50k"]) == (fid, inception)
    assert pixels_of(release) == 256 and tokenizer_of(release).config == TOKENIZER.config


@pytest.mark.parametrize("name", FACTS)
def test_a_file_has_exactly_the_official_names_and_shapes(name: str) -> None:
    config = catalogue.find(name).config
    official = to_official(registry.build(config).state_dict(), table_for(config))
    _, _, *numbers = FACTS[name]
    assert {key: tuple(value.shape) for key, value in official.items()} == dict(_mar(*map(int, numbers[:4])))


def _mar(depth: int, width: int, head_depth: int, head: int) -> Iterator[Named]:
    """256 tokens of 16 numbers behind 64 slots of the class, encoder and decoder alike, 1000 classes."""
    yield "class_emb.weight", (1000, width)
    yield "fake_latent", (1, width)
    yield "mask_token", (1, 1, width)
    yield "diffusion_pos_embed_learned", (1, 256, width)
    yield from linear("z_proj", 16, width)
    yield from linear("decoder_embed", width, width)
    yield from norm("z_proj_ln", width)
    for side in ("encoder", "decoder"):
        yield f"{side}_pos_embed_learned", (1, 320, width)
        yield from norm(f"{side}_norm", width)
        for block in (f"{side}_blocks.{number}" for number in range(depth)):
            yield from norm(f"{block}.norm1", width)
            yield from norm(f"{block}.norm2", width)
            yield from linear(f"{block}.attn.qkv", width, 3 * width)
            yield from linear(f"{block}.attn.proj", width, width)
            yield from linear(f"{block}.mlp.fc1", width, 4 * width)
            yield from linear(f"{block}.mlp.fc2", 4 * width, width)
    net = "diffloss.net"
    yield from linear(f"{net}.time_embed.mlp.0", 256, head)
    yield from linear(f"{net}.time_embed.mlp.2", head, head)
    yield from linear(f"{net}.cond_embed", width, head)
    yield from linear(f"{net}.input_proj", 16, head)
    for block in (f"{net}.res_blocks.{number}" for number in range(head_depth)):
        yield from norm(f"{block}.in_ln", head)
        yield from linear(f"{block}.mlp.0", head, head)
        yield from linear(f"{block}.mlp.2", head, head)
        yield from linear(f"{block}.adaLN_modulation.1", head, 3 * head)
    yield from linear(f"{net}.final_layer.adaLN_modulation.1", head, 2 * head)
    yield from linear(f"{net}.final_layer.linear", head, 32)


def test_the_tokenizers_file_has_exactly_the_official_names_and_shapes() -> None:
    official = to_official(registry.build(TOKENIZER.config).state_dict(), table_for(TOKENIZER.config))
    assert {key: tuple(value.shape) for key, value in official.items()} == dict(_tokenizer())


def _tokenizer() -> Iterator[Named]:
    """128 channels x (1, 1, 2, 2, 4), two blocks a level and three upwards, 16 channels a cell. Attention at
    the deepest level of the encoder and in both middles, nowhere else in the decoder."""
    widths = (128, 128, 256, 256, 512)
    yield from conv("encoder.conv_in", 3, 128, 3)
    for level, (before, width) in enumerate(zip((128, *widths), widths, strict=False)):
        yield from _level(f"encoder.down.{level}", before, width, 2)
        if level == 4:
            for block in range(2):
                yield from attention(f"encoder.down.4.attn.{block}", 512)
        else:
            yield from conv(f"encoder.down.{level}.downsample.conv", width, width, 3)
    yield from conv("decoder.conv_in", 16, 512, 3)
    for side, (width, out) in {"encoder": (512, 32), "decoder": (128, 3)}.items():
        for block in (1, 2):
            yield from res_block(f"{side}.mid.block_{block}", 512, 512)
        yield from attention(f"{side}.mid.attn_1", 512)
        yield from norm(f"{side}.norm_out", width)
        yield from conv(f"{side}.conv_out", width, out, 3)
    for level, before in zip((4, 3, 2, 1, 0), (512, 512, 256, 256, 128), strict=True):
        yield from _level(f"decoder.up.{level}", before, widths[level], 3)
        if level:
            yield from conv(f"decoder.up.{level}.upsample.conv", widths[level], widths[level], 3)
    yield from conv("quant_conv", 32, 32, 1)
    yield from conv("post_quant_conv", 16, 16, 1)


def _level(name: str, before: int, width: int, blocks: int) -> Iterator[Named]:
    for block in range(blocks):
        yield from res_block(f"{name}.block.{block}", width if block else before, width)


@pytest.mark.parametrize("trained", [False, True])
def test_the_average_is_read_from_a_file(trained: bool, tmp_path: Path) -> None:
    """A released file holds the weights and their average; one of the training script also the rest."""
    networks = [tiny.network(tiny.MASKED, seed) for seed in (1, 2)]
    both = [to_official(one.state_dict(), table_for(tiny.MASKED)) for one in networks]
    saved: dict[str, Any] = {"model": both[0], "model_ema": both[1]}
    if trained:
        saved |= {"optimizer": {"state": {}}, "epoch": 3, "args": argparse.Namespace(model="mar_base")}
    torch.save(saved, tmp_path / "checkpoint-last.pth")
    release = replace(GENERATORS[0], name="small", config=tiny.MASKED)
    import_file(tmp_path / "checkpoint-last.pth", release)
    loaded = weights.load(release).state_dict()
    assert all(value.equal(loaded[key]) for key, value in networks[1].state_dict().items())


def test_a_tokenizer_of_the_training_code_loads_without_its_losses(tmp_path: Path) -> None:
    network = tiny.network(tiny.KL)
    official = to_official(network.state_dict(), table_for(tiny.KL))
    torch.save({"model": official | {"loss.logvar": torch.zeros(())}}, tmp_path / "kl16.ckpt")
    release = replace(TOKENIZER, name="small", config=tiny.KL)
    assert import_file(tmp_path / "kl16.ckpt", release).dropped == ("loss.logvar",)
    loaded = weights.load(release).state_dict()
    assert all(value.equal(loaded[key]) for key, value in network.state_dict().items())


def _hollow(name: str) -> dict[str, Tensor]:
    """The official tensors of a release in their shapes, each a single stored zero."""
    config, zero = catalogue.find(name).config, torch.zeros(())
    ours = {key: zero.expand(shape) for key, shape in registry.shapes(config).items()}
    return to_official(ours, table_for(config))


@pytest.mark.parametrize(
    ("real", "asked"),
    [("mar-l", "mar-b"), ("mar-kl16", "mar-b"), ("mar-b", "var-d16"), ("mar-kl16", "var-vqvae")],
)
def test_a_file_of_another_release_is_recognised(real: str, asked: str, tmp_path: Path) -> None:
    torch.save(_hollow(real), tmp_path / "w.pth")
    with pytest.raises(GenstudioError, match=f"looks like {real}; you asked for {asked}") as caught:
        import_file(tmp_path / "w.pth", catalogue.find(asked))
    assert caught.value.code == Exit.WEIGHTS
