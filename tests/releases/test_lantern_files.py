"""LANTERN's released drafters against the facts; their files, strictly; and that they make no pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genstudio import registry
from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.releases import catalogue, weights
from genstudio.releases.imports import import_file
from genstudio.releases.official_lantern import DRAFTERS
from genstudio.releases.release import Distilled, File, Release
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from tests.releases import tiny
from tests.releases.taming import Named
from tests.support import genstudio

pytestmark = pytest.mark.usefixtures("home")

CONFIG = DrafterConfig(width=32, heads=4, hidden=48, vocab=32, side=4, condition_slots=5)


def test_every_released_drafter_of_a_model_we_have_is_in_the_catalogue() -> None:
    files = {(one.file.hub, one.file.name) for one in DRAFTERS if one.file}
    assert files == {
        ("jadohu/llamagen_drafter", "pytorch_model.bin"),
        ("jadohu/llamagen2_drafter", "pytorch_model.bin"),
    }


@pytest.mark.parametrize("release", DRAFTERS, ids=lambda one: one.name)
def test_a_drafter_is_as_wide_as_its_teacher_and_has_its_grid(release: Release) -> None:
    assert release.distilled is not None and isinstance(release.config, DrafterConfig)
    found = catalogue.find(release.distilled.teacher)
    teacher = found.config
    assert found.companions.drafter == release.name and isinstance(teacher, LlamaGenConfig)
    for name in ("width", "heads", "hidden", "vocab", "side", "condition_slots"):
        assert getattr(release.config, name) == getattr(teacher, name), name


@pytest.mark.parametrize("release", DRAFTERS, ids=lambda one: one.name)
def test_a_file_has_exactly_the_official_names_and_shapes(release: Release) -> None:
    official = to_official(registry.build(release.config).state_dict(), table_for(release.config))
    assert {name: tuple(value.shape) for name, value in official.items()} == dict(_published())


def _published() -> Iterator[Named]:
    """Width 1280, 3584 inside, one layer without a norm of its input and nothing behind it."""
    yield "embed_tokens.weight", (16_384, 1280)
    yield "fc.weight", (1280, 2560)
    yield "fc.bias", (1280,)
    for part in "qkvo":
        yield f"layers.0.self_attn.{part}_proj.weight", (1280, 1280)
    yield "layers.0.post_attention_layernorm.weight", (1280,)
    for part in ("gate", "up"):
        yield f"layers.0.mlp.{part}_proj.weight", (3584, 1280)
    yield "layers.0.mlp.down_proj.weight", (1280, 3584)


@pytest.fixture
def release() -> Release:
    return replace(
        tiny.release(CONFIG, "tiny-drafter"),
        file=File(hub="someone/drafter", name="pytorch_model.bin"),
        distilled=Distilled(teacher="llamagen-t2i-xl-256"),
    )


def _saved(path: Path, config: DrafterConfig = CONFIG) -> Path:
    torch.save(to_official(tiny.network(config).state_dict(), table_for(config)), path)
    return path


def test_an_imported_drafter_is_the_same_network(release: Release, tmp_path: Path) -> None:
    import_file(_saved(tmp_path / "pytorch_model.bin"), release)
    loaded, original = weights.load(release).state_dict(), tiny.network(CONFIG).state_dict()
    assert loaded.keys() == original.keys()
    assert all(value.equal(loaded[name]) for name, value in original.items())


def test_a_file_that_does_not_fit_says_what_it_is(release: Release, tmp_path: Path) -> None:
    path = _saved(tmp_path / "pytorch_model.bin", replace(CONFIG, vocab=64))
    with pytest.raises(GenstudioError, match="a drafter of depth 1 for features of width 32 and 64 codes"):
        import_file(path, release)
    path = _saved(tmp_path / "pytorch_model.bin", replace(CONFIG, bias=False))
    with pytest.raises(GenstudioError, match=r"you asked for tiny-drafter"):
        import_file(path, release)


def test_one_tensor_too_many_is_refused(release: Release, tmp_path: Path) -> None:
    official = to_official(tiny.network(CONFIG).state_dict(), table_for(CONFIG))
    torch.save(official | {"layers.0.input_layernorm.weight": torch.ones(32)}, tmp_path / "more.bin")
    with pytest.raises(GenstudioError, match=r"1 unknown \(layers\.0\.input_layernorm\.weight\)") as caught:
        import_file(tmp_path / "more.bin", release)
    assert caught.value.code == Exit.WEIGHTS


def test_info_and_models_show_a_drafter(tmp_path: Path) -> None:
    found = genstudio("info", _saved(tmp_path / "w.bin"), "--json").data
    assert found["looks_like"].startswith("a drafter of depth 1")
    out = genstudio("models", "show", "llamagen-drafter").out
    assert "drafter" in out and "pytorch_model.bin from jadohu/llamagen_drafter" in out
    assert next(line for line in out.splitlines() if line.startswith("teacher")).endswith(
        "llamagen-t2i-xl-256"
    )
    listed = genstudio("models", "--json").data["models"]
    assert {one["name"] for one in listed if one["method"] == "drafter"} >= {"llamagen-drafter"}


def test_a_drafter_makes_no_pictures_and_says_what_it_is_for() -> None:
    found = genstudio("sample", "llamagen-drafter", "-c", "1", "-n", "1")
    assert found.code == Exit.USAGE
    assert "llamagen-drafter makes no pictures: it drafts for llamagen-t2i-xl-256" in found.err
    assert "--accel lantern:drafter=llamagen-drafter" in found.err
