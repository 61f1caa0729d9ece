"""The official releases against the published facts: parameter counts, and every name, shape and buffer.

The lists below are written from the description of the architecture, never from the tables under test.
"""

from collections.abc import Iterator

import pytest
import torch

from genstudio import registry
from genstudio.configs.var import VARConfig
from genstudio.releases import catalogue
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from tests.releases.taming import Named, Shape, conv, linear, norm, res_block

MILLIONS = {
    "var-d16": 310.3,
    "var-d20": 600.9,
    "var-d24": 1033.4,
    "var-d30": 2010.0,
    "var-d36-512": 2353.9,
    "var-d16-plain": 310.3,
    "var-d30-plain": 2010.0,
}


def _official_shapes(name: str) -> dict[str, Shape]:
    config = catalogue.find(name).config
    ours = registry.build(config).state_dict()
    return {key: tuple(value.shape) for key, value in to_official(ours, table_for(config)).items()}


@pytest.mark.parametrize(("name", "millions"), MILLIONS.items())
def test_a_transformer_has_its_published_number_of_parameters(name: str, millions: float) -> None:
    shapes = registry.shapes(catalogue.find(name).config)
    assert round(sum(shape.numel() for shape in shapes.values()) / 1e6, 1) == millions


def test_the_tokenizer_has_its_published_number_of_parameters() -> None:
    shapes = registry.shapes(catalogue.find("var-vqvae").config)
    for part, millions in {"": 108.95, "encoder.": 44.11, "decoder.": 64.65}.items():
        numbers = sum(shape.numel() for key, shape in shapes.items() if key.startswith(part))
        assert round(numbers / 1e6, 2) == millions


@pytest.mark.parametrize("name", MILLIONS)
def test_a_transformer_file_has_exactly_the_official_names_shapes_and_buffers(name: str) -> None:
    depth = int(name.split("-")[1].removeprefix("d"))
    slots = 2240 if name.endswith("512") else 680
    expected = dict(_transformer(depth, slots, shared=depth == 36, l2=not name.endswith("plain")))
    assert _official_shapes(name) == expected


def _transformer(depth: int, slots: int, shared: bool, l2: bool) -> Iterator[Named]:
    """Width 64 x depth, one head per layer, 1000 classes and the null class, ten scales, 4096 codes."""
    width = 64 * depth
    yield from linear("word_embed", 32, width)
    yield "class_emb.weight", (1001, width)
    yield "pos_start", (1, 1, width)
    yield "pos_1LC", (1, slots, width)
    yield "lvl_embed.weight", (10, width)
    yield "lvl_1L", (1, slots)
    yield "attn_bias_for_masking", (1, 1, slots, slots)
    for block in range(depth):
        yield from _block(f"blocks.{block}", width, depth, shared, l2)
    if shared:
        yield from linear("shared_ada_lin.1", width, 6 * width)
    yield from linear("head_nm.ada_lin.1", width, 2 * width)
    yield from linear("head", width, 4096)


def _block(name: str, width: int, heads: int, shared: bool, l2: bool) -> Iterator[Named]:
    yield f"{name}.attn.mat_qkv.weight", (3 * width, width)
    for bias in ("q_bias", "v_bias", "zero_k_bias"):
        yield f"{name}.attn.{bias}", (width,)
    if l2:
        yield f"{name}.attn.scale_mul_1H11", (1, heads, 1, 1)
    yield from linear(f"{name}.attn.proj", width, width)
    yield from linear(f"{name}.ffn.fc1", width, 4 * width)
    yield from linear(f"{name}.ffn.fc2", 4 * width, width)
    if shared:
        yield f"{name}.ada_gss", (1, 1, 6, width)
    else:
        yield from linear(f"{name}.ada_lin.1", width, 6 * width)


def test_the_tokenizer_file_has_exactly_the_official_names_shapes_and_buffers() -> None:
    assert _official_shapes("var-vqvae") == dict(_tokenizer())


def _tokenizer() -> Iterator[Named]:
    """160 channels x (1, 1, 2, 2, 4), two blocks a level (three upwards), attention at the lowest level."""
    widths = (160, 160, 320, 320, 640)
    yield from conv("encoder.conv_in", 3, 160, 3)
    before = 160
    for level, width in enumerate(widths):
        yield from _level(f"encoder.down.{level}", before, width, 2, attention=level == 4)
        before = width
        if level < 4:
            yield from conv(f"encoder.down.{level}.downsample.conv", width, width, 3)
    yield from _middle("encoder")
    yield from _ends("encoder", 640, 32)
    yield from conv("decoder.conv_in", 32, 640, 3)
    yield from _middle("decoder")
    before = 640
    for level in (4, 3, 2, 1, 0):
        yield from _level(f"decoder.up.{level}", before, widths[level], 3, attention=level == 4)
        before = widths[level]
        if level:
            yield from conv(f"decoder.up.{level}.upsample.conv", before, before, 3)
    yield from _ends("decoder", 160, 3)
    yield from conv("quant_conv", 32, 32, 3)
    yield from conv("post_quant_conv", 32, 32, 3)
    yield "quantize.embedding.weight", (4096, 32)
    yield "quantize.ema_vocab_hit_SV", (10, 4096)
    for phi in range(4):
        yield from conv(f"quantize.quant_resi.qresi_ls.{phi}", 32, 32, 3)


def _level(name: str, before: int, width: int, blocks: int, attention: bool) -> Iterator[Named]:
    for block in range(blocks):
        yield from res_block(f"{name}.block.{block}", before if block == 0 else width, width)
        if attention:
            yield from _attention(f"{name}.attn.{block}", width)


def _middle(name: str) -> Iterator[Named]:
    yield from res_block(f"{name}.mid.block_1", 640, 640)
    yield from _attention(f"{name}.mid.attn_1", 640)
    yield from res_block(f"{name}.mid.block_2", 640, 640)


def _ends(name: str, width: int, out: int) -> Iterator[Named]:
    yield from norm(f"{name}.norm_out", width)
    yield from conv(f"{name}.conv_out", width, out, 3)


def _attention(name: str, width: int) -> Iterator[Named]:
    yield from norm(f"{name}.norm", width)
    yield from conv(f"{name}.qkv", width, 3 * width, 1)
    yield from conv(f"{name}.proj_out", width, width, 1)


def test_the_buffers_hold_what_the_official_code_computes() -> None:
    """Slot levels 0, 1 x 4, 2 x 9 ...; -inf exactly where a query would see a finer scale; no key bias."""
    config = catalogue.find("var-d16").config
    assert isinstance(config, VARConfig)
    made = {one.official: one.make() for one in table_for(config).derived}
    level_1L, bias_11LL = made["lvl_1L"], made["attn_bias_for_masking"]
    assert level_1L.dtype == torch.int64
    assert level_1L[0, :15].tolist() == [0, *[1] * 4, *[2] * 9, 3]
    assert int(level_1L[0, -1]) == 9
    assert bias_11LL.dtype == torch.float32
    seen_by_first = bias_11LL[0, 0, 0]
    assert seen_by_first[0] == 0
    assert (seen_by_first[1:] == -torch.inf).all()
    assert (bias_11LL[0, 0, 1:5, :5] == 0).all(), "a scale sees all of itself and of the ones before"
    assert not bias_11LL[0, 0, -1].any()
    assert not made["blocks.15.attn.zero_k_bias"].any()
