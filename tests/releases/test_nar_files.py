"""NAR's releases against the published facts, and its files told apart from LlamaGen's, which they hold."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genstudio import registry
from genstudio.configs.nar import NARConfig
from genstudio.configs.vq import VQConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.releases import catalogue, weights
from genstudio.releases.imports import import_file
from genstudio.releases.official_nar import GENERATORS
from genstudio.releases.pairing import pixels_of, tokenizer_of
from genstudio.releases.release import Release
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from genstudio.samplers.guidance import Constant
from tests.releases import tiny
from tests.releases.taming import Named, Shape
from tests.releases.test_llamagen_files import FORMS, PACKING

pytestmark = pytest.mark.usefixtures("home")

# blocks, width, width inside of the feed-forward layers, published parameters and what one last digit is
FACTS = {
    "nar-b-256": (13, 768, 2048, 130e6, 1e6),
    "nar-m-256": (19, 1024, 2816, 296e6, 1e6),
    "nar-l-256": (25, 1024, 2816, 372e6, 1e6),
    "nar-xl-256": (37, 1280, 3584, 816e6, 1e6),
    "nar-xxl-256": (49, 1536, 4096, 1.46e9, 1e7),
    "nar-t2i-xl-256": (37, 1280, 3584, 0.82e9, 1e7),
    "nar-t2i-xl-512": (37, 1280, 3584, 0.82e9, 1e7),
}
HUBS = {
    "chenfeng1271/NAR-imagenet-256-B",
    "yefly/NAR-imagenet-256-M",
    "chenfeng1271/NAR-imagenet-256-L",
    "yefly/NAR-imagenet-256-XL",
    "chenfeng1271/NAR-imagenet-256-XXL",
    "yefly/NAR-XL-t2i-stage1",
    "yefly/NAR-XL-t2i-stage2",
}


@pytest.mark.parametrize("name", FACTS)
def test_a_network_has_its_published_number_of_parameters(name: str) -> None:
    *_, published, digit = FACTS[name]
    network = registry.build(catalogue.find(name).config)
    assert abs(sum(value.numel() for value in network.parameters()) - published) < digit


@pytest.mark.parametrize("name", FACTS)
def test_a_file_has_exactly_the_official_names_and_shapes(name: str) -> None:
    config = catalogue.find(name).config
    official = to_official(registry.build(config).state_dict(), table_for(config))
    blocks, width, hidden, *_ = FACTS[name]
    expected = dict(_official(blocks, width, hidden, text="t2i" in name))
    assert {key: tuple(value.shape) for key, value in official.items()} == expected


def _official(blocks: int, width: int, hidden: int, text: bool) -> Iterator[Named]:
    """LlamaGen's names; Medusa's for the head below; 16,384 codes, 1,000 classes or 120 rows of text."""
    yield "tok_embeddings.weight", (16_384, width)
    for head, norm in {"output": "norm", "medusa_output": "medusa_norm"}.items():
        yield f"{norm}.weight", (width,)
        yield f"{head}.weight", (16_384, width)
    if text:
        yield "cls_embedding.cap_proj.fc1.weight", (width, 2048)
        yield "cls_embedding.cap_proj.fc2.weight", (width, width)
        yield "cls_embedding.uncond_embedding", (120, 2048)
    else:
        yield "cls_embedding.embedding_table.weight", (1001, width)
    for block in range(blocks):
        yield from _block(f"layers.{block}", width, hidden)


def _block(name: str, width: int, hidden: int) -> Iterator[Named]:
    shapes: dict[str, Shape] = {
        "attention.wqkv": (3 * width, width),
        "attention.wo": (width, width),
        "feed_forward.w1": (hidden, width),
        "feed_forward.w3": (hidden, width),
        "feed_forward.w2": (width, hidden),
        "attention_norm": (width,),
        "ffn_norm": (width,),
    }
    for part, shape in shapes.items():
        yield f"{name}.{part}.weight", shape


def test_every_released_file_is_in_the_catalogue() -> None:
    hubs = [one.file.hub for one in catalogue.OFFICIAL.values() if one.file and one.method == "nar"]
    assert set(hubs) == HUBS and len(hubs) == len(HUBS)


@pytest.mark.parametrize("release", GENERATORS, ids=lambda one: one.name)
def test_a_generator_makes_pictures_of_the_size_in_its_name(release: Release) -> None:
    pixels = int(release.name.rpartition("-")[2])
    tokenizer = tokenizer_of(release)
    assert pixels_of(release) == pixels
    assert isinstance(tokenizer.config, VQConfig) and tokenizer.config.pixels == pixels
    of_text = "t2i" in release.name
    assert tokenizer.name == ("llamagen-vq-ds16-t2i" if of_text else "llamagen-vq-ds16")
    assert (release.text is not None) is of_text


@pytest.mark.parametrize("release", GENERATORS, ids=lambda one: one.name)
def test_the_recipe_is_the_published_one_and_what_is_recalled_says_so(release: Release) -> None:
    guidance = release.recipe.guidance
    assert guidance is not None
    assert (guidance.cfg, guidance.ramp) == (7.5 if release.text else 2.0, Constant())
    assert (guidance.until, release.recipe.filters) == (None, ())
    assert all("from memory" in score.source for score in release.reported)
    assert ("as for NAR-B" in release.source) is (release.text is None and release.name != "nar-b-256")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("config", [tiny.NEIGHBOUR, tiny.NEIGHBOUR_CAPTIONED], ids=["classes", "text"])
def test_a_file_of_every_form_loads_as_the_same_network(form: str, config: NARConfig, tmp_path: Path) -> None:
    network = tiny.network(config)
    official = to_official(network.state_dict(), table_for(config))
    torch.save(FORMS[form](official), tmp_path / "file.pt")
    release = replace(tiny.release(config, "small"), packing=PACKING)
    report = import_file(tmp_path / "file.pt", release)
    loaded = weights.load(release).state_dict()
    assert loaded.keys() == network.state_dict().keys()
    assert all(value.equal(loaded[name]) for name, value in network.state_dict().items())
    caches = ("layers.1.attention.kv_cache.k_cache",)
    assert report.dropped == (caches if form == "after-sampling" else ())


def _hollow(name: str, path: Path) -> Path:
    """A file of the official tensors of a release in their shapes, each a single stored zero."""
    config, zero = catalogue.find(name).config, torch.zeros(())
    ours = {key: zero.expand(shape) for key, shape in registry.shapes(config).items()}
    torch.save(to_official(ours, table_for(config)), path)
    return path


@pytest.mark.parametrize(
    ("real", "asked", "looks"),
    [
        ("nar-l-256", "nar-b-256", "nar-l-256"),
        ("nar-b-256", "llamagen-b-256", "nar-b-256"),
        ("llamagen-b-256", "nar-b-256", "llamagen-b-256 or llamagen-b-384"),
        ("nar-t2i-xl-256", "nar-xl-256", "nar-t2i-xl-256 or nar-t2i-xl-512"),
    ],
)
def test_a_file_of_another_release_is_recognised(real: str, asked: str, looks: str, tmp_path: Path) -> None:
    path = _hollow(real, tmp_path / "w.pt")
    with pytest.raises(GenstudioError, match=f"looks like {looks}; you asked") as caught:
        import_file(path, catalogue.find(asked))
    assert caught.value.code == Exit.WEIGHTS


def test_a_network_of_no_release_is_described(tmp_path: Path) -> None:
    official = to_official(tiny.network(tiny.NEIGHBOUR).state_dict(), table_for(tiny.NEIGHBOUR))
    torch.save(official, tmp_path / "w.pt")
    with pytest.raises(GenstudioError, match="a NAR transformer of 3 blocks, width 32, 10 classes, 32 codes"):
        import_file(tmp_path / "w.pt", catalogue.find("nar-b-256"))
