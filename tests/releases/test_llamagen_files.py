"""LlamaGen's releases against the published facts, and its files in every form that people have them in."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.configs.llamagen import Caption, LlamaGenConfig
from genstudio.configs.vq import VQConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.releases import catalogue, weights
from genstudio.releases.imports import import_file
from genstudio.releases.official_llamagen import GENERATORS, HUB, PACKING, TEXT_HUB
from genstudio.releases.pairing import pixels_of, tokenizer_of
from genstudio.releases.places import place
from genstudio.releases.release import File, Release
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from genstudio.samplers.guidance import Constant
from tests.releases import tiny
from tests.releases.taming import Named, Shape, attention, conv, norm, res_block

pytestmark = pytest.mark.usefixtures("home")

MILLIONS = {
    "llamagen-b-256": 110.89,
    "llamagen-b-384": 110.89,
    "llamagen-l-256": 342.91,
    "llamagen-l-384": 342.91,
    "llamagen-xl-384": 774.70,
    "llamagen-xxl-384": 1410.97,
    "llamagen-3b-384": 3096.66,
    "llamagen-t2i-xl-256": 777.68,
    "llamagen-t2i-xl-512": 777.68,
    "llamagen-vq-ds16": 71.88,
    "llamagen-vq-ds8": 70.11,
    "llamagen-vq-ds16-t2i": 71.88,
}
GENERATOR = LlamaGenConfig(depth=2, width=16, heads=2, hidden=24, vocab=32, side=4, classes=10)
OF_TEXT = replace(GENERATOR, classes=0, caption=Caption(slots=5, width=12))


@pytest.mark.parametrize(("name", "millions"), MILLIONS.items())
def test_a_network_has_its_published_number_of_parameters(name: str, millions: float) -> None:
    network = registry.build(catalogue.find(name).config)
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 2) == millions


def test_every_released_file_is_in_the_catalogue() -> None:
    files = [one.file for one in catalogue.OFFICIAL.values() if one.file]
    assert {file.name for file in files if file.hub in (HUB, TEXT_HUB)} == {
        *("c2i_B_256.pt", "c2i_B_384.pt", "c2i_L_256.pt", "c2i_L_384.pt"),
        *("c2i_XL_384.pt", "c2i_XXL_384.pt", "c2i_3B_384.pt"),
        *("t2i_XL_stage1_256.pt", "t2i_XL_stage2_512.pt"),
        *("vq_ds16_c2i.pt", "vq_ds8_c2i.pt", "vq_ds16_t2i.pt"),
    }


@pytest.mark.parametrize("release", GENERATORS, ids=lambda one: one.name)
def test_a_generator_makes_pictures_of_the_size_in_its_name(release: Release) -> None:
    pixels = int(release.name.rpartition("-")[2])
    assert pixels_of(release) == pixels
    tokenizer = tokenizer_of(release).config
    assert isinstance(tokenizer, VQConfig) and (tokenizer.pixels, tokenizer.stride) == (pixels, 16)
    assert tokenizer.vocab == release.generator.vocab
    of_text = "t2i" in release.name
    assert (tokenizer_of(release).name == "llamagen-vq-ds16-t2i") is of_text
    assert (release.text is not None) is of_text


@pytest.mark.parametrize(
    ("name", "cfg", "fid"),
    [
        ("llamagen-b-256", 2.0, 5.46),
        ("llamagen-b-384", 2.0, 6.09),
        ("llamagen-l-256", 1.75, 3.80),
        ("llamagen-l-384", 2.0, 3.07),
        ("llamagen-xl-384", 1.75, 2.62),
        ("llamagen-xxl-384", 1.75, 2.34),
        ("llamagen-3b-384", 1.65, 2.18),
    ],
)
def test_scores_stand_beside_the_recipe_and_the_protocol_that_made_them(name, cfg: float, fid: float) -> None:
    release = catalogue.find(name)
    guidance, protocol = release.recipe.guidance, release.protocol
    assert guidance is not None and (guidance.cfg, guidance.ramp) == (cfg, Constant())
    assert release.recipe.filters == ()
    assert release.reported[0].value == fid
    assert protocol is not None
    assert (protocol.samples, protocol.labels, protocol.reference) == (50_000, "random", "imagenet-256")
    assert protocol.side == (None if name.endswith("256") else 256)


def test_numbers_from_memory_say_so() -> None:
    assert "cfg from memory" in catalogue.find("llamagen-l-256").source
    assert "from memory" not in catalogue.find("llamagen-l-384").source
    for size, recalled in {"xxl": True, "3b": True, "xl": False}.items():
        fid, inception = catalogue.find(f"llamagen-{size}-384").reported
        assert "README" in fid.source and ("from memory" in inception.source) is recalled


@pytest.mark.parametrize(("name", "mult"), [("ds16", (1, 1, 2, 2, 4)), ("ds8", (1, 2, 2, 4))])
def test_a_tokenizer_file_has_exactly_the_official_names_and_shapes(name: str, mult: Shape) -> None:
    config = catalogue.find(f"llamagen-vq-{name}").config
    official = to_official(registry.build(config).state_dict(), table_for(config))
    assert {key: tuple(value.shape) for key, value in official.items()} == dict(_tokenizer(mult))


def _tokenizer(mult: Shape) -> Iterator[Named]:
    """128 channels, two blocks a level (three in the decoder), attention at the deepest; 8 of 256 numbers."""
    widths, last = [128 * factor for factor in mult], len(mult) - 1
    yield from conv("encoder.conv_in", 3, 128, 3)
    for level, (before, width) in enumerate(zip([128, *widths], widths, strict=False)):
        yield from _level(f"encoder.conv_blocks.{level}", before, width, 2, deepest=level == last)
        if level < last:
            yield from conv(f"encoder.conv_blocks.{level}.downsample.conv", width, width, 3)
    for side, (first, end, out) in {"encoder": (0, 512, 256), "decoder": (512, 128, 3)}.items():
        for block in (0, 2):
            yield from res_block(f"{side}.mid.{block}", 512, 512)
        yield from attention(f"{side}.mid.1", 512)
        yield from norm(f"{side}.norm_out", end)
        yield from conv(f"{side}.conv_out", end, out, 3)
        if first:
            yield from conv(f"{side}.conv_in", 256, first, 3)
    upwards = widths[::-1]
    for level, (before, width) in enumerate(zip([512, *upwards], upwards, strict=False)):
        yield from _level(f"decoder.conv_blocks.{level}", before, width, 3, deepest=level == 0)
        if level < last:
            yield from conv(f"decoder.conv_blocks.{level}.upsample.conv", width, width, 3)
    yield from conv("quant_conv", 256, 8, 1)
    yield from conv("post_quant_conv", 8, 256, 1)
    yield "quantize.embedding.weight", (16_384, 8)
    yield "quantize.codebook_used", (65_536,)


def _level(name: str, before: int, width: int, blocks: int, deepest: bool) -> Iterator[Named]:
    for block in range(blocks):
        yield from res_block(f"{name}.res.{block}", width if block else before, width)
        if deepest:
            yield from attention(f"{name}.attn.{block}", width)


def _trained(official: dict[str, Tensor]) -> dict[str, Any]:
    """What the official training scripts save."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(2)).sum().backward()
    optimizer.step()
    arguments = argparse.Namespace(gpt_model="GPT-B", lr=1e-4)
    return {"model": official, "optimizer": optimizer.state_dict(), "steps": 12, "args": arguments}


FORMS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda official: official,
    "model": lambda official: {"model": official},
    "module": lambda official: {"module": official},
    "state_dict": lambda official: {"state_dict": official},
    "training": _trained,
    "after-sampling": lambda official: {
        "model": official | {"layers.1.attention.kv_cache.k_cache": torch.zeros(2, 2, 24, 8)}
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("config", [GENERATOR, OF_TEXT, tiny.GRID_VQ], ids=["classes", "text", "vq"])
def test_a_file_of_every_form_loads_as_the_same_network(form: str, config: Any, tmp_path: Path) -> None:
    if form == "after-sampling" and config is tiny.GRID_VQ:
        return
    network = tiny.network(config)
    official = to_official(network.state_dict(), table_for(config))
    torch.save(FORMS[form](official), tmp_path / "file.pt")
    release = replace(tiny.release(config, "small"), packing=PACKING)
    report = import_file(tmp_path / "file.pt", release)
    loaded = weights.load(release).state_dict()
    assert loaded.keys() == network.state_dict().keys()
    assert all(value.equal(loaded[name]) for name, value in network.state_dict().items())
    expected = {"after-sampling": ("layers.1.attention.kv_cache.k_cache",)}.get(form, ())
    assert report.dropped == (("quantize.codebook_used",) if config is tiny.GRID_VQ else expected)


def _hollow(name: str) -> dict[str, Tensor]:
    """The official tensors of a release in their shapes, each a single stored zero."""
    config, zero = catalogue.find(name).config, torch.zeros(())
    ours = {key: zero.expand(shape) for key, shape in registry.shapes(config).items()}
    return to_official(ours, table_for(config))


@pytest.mark.parametrize(
    ("real", "file", "asked", "looks", "remedy"),
    [
        ("xl-384", "w.pt", "b-256", "xl-384", "xl-384"),
        ("l-384", "w.pt", "b-256", "l-256 or llamagen-l-384", "l-256"),
        ("l-384", "c2i_L_384.pt", "b-256", "l-256 or llamagen-l-384", "l-384"),
        ("vq-ds8", "w.pt", "vq-ds16", "vq-ds8", "vq-ds8"),
        ("vq-ds8", "w.pt", "l-256", "vq-ds8", "vq-ds8"),
        ("t2i-xl-256", "w.pt", "xl-384", "t2i-xl-256 or llamagen-t2i-xl-512", "t2i-xl-256"),
    ],
)
def test_a_file_of_another_release_is_recognised_as_far_as_shapes_go(
    real: str, file: str, asked: str, looks: str, remedy: str, tmp_path: Path
) -> None:
    torch.save(_hollow(f"llamagen-{real}"), tmp_path / file)
    with pytest.raises(GenstudioError, match=f"looks like llamagen-{looks}; you asked") as caught:
        import_file(tmp_path / file, catalogue.find(f"llamagen-{asked}"))
    assert caught.value.hint.endswith(f"--as llamagen-{remedy}")
    assert caught.value.code == Exit.WEIGHTS


def test_the_two_families_of_tokenizers_are_told_apart(tmp_path: Path) -> None:
    for real, asked in (("llamagen-vq-ds16", "var-vqvae"), ("var-vqvae", "llamagen-vq-ds16")):
        torch.save(_hollow(real), tmp_path / "w.pt")
        with pytest.raises(GenstudioError, match=f"looks like {real}"):
            import_file(tmp_path / "w.pt", catalogue.find(asked))


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> tuple[Release, Release]:
    """Two official releases that differ in the size of their pictures alone."""
    pair = tuple(
        replace(
            tiny.release(replace(GENERATOR, side=side), f"small-{side}"),
            file=File(hub="someone/small", name=f"small_{side}.pt"),
            packing=PACKING,
        )
        for side in (4, 6)
    )
    for one in pair:
        monkeypatch.setitem(catalogue.OFFICIAL, one.name, one)
    return pair[0], pair[1]


def test_releases_of_the_same_shapes_are_told_apart_by_the_file_name_alone(
    twins: tuple[Release, Release], tmp_path: Path
) -> None:
    small, large = twins
    path = tmp_path / "small_6.pt"
    torch.save(to_official(tiny.network(GENERATOR).state_dict(), table_for(GENERATOR)), path)
    with pytest.raises(GenstudioError, match=r"as the file of small-6; .* the name alone tells") as caught:
        import_file(path, small)
    assert "--as small-6; or rename" in caught.value.hint
    assert place(small) == "missing"
    assert import_file(path, large).alike == ("small-4",)
    assert import_file(path.rename(tmp_path / "mine.pt"), small).alike == ("small-6",)


def test_a_file_name_that_several_releases_have_tells_nothing(
    twins: tuple[Release, Release], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    same = [replace(one, file=File(hub=f"someone/{one.name}", name="last.pt")) for one in twins]
    for one in same:
        monkeypatch.setitem(catalogue.OFFICIAL, one.name, one)
    torch.save(to_official(tiny.network(GENERATOR).state_dict(), table_for(GENERATOR)), tmp_path / "last.pt")
    assert [import_file(tmp_path / "last.pt", one).alike for one in same] == [("small-6",), ("small-4",)]


def test_a_vq_tokenizer_of_no_release_is_described(tmp_path: Path) -> None:
    official = to_official(tiny.network(tiny.GRID_VQ).state_dict(), table_for(tiny.GRID_VQ))
    torch.save(official, tmp_path / "w.pt")
    with pytest.raises(GenstudioError, match="VQ tokenizer with 32 codes of width 4, 8 channels and 3 res"):
        import_file(tmp_path / "w.pt", catalogue.find("llamagen-vq-ds8"))
