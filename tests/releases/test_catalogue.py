"""Names lead to releases: official values, bundled and cached folders, any folder by its path."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.mar import MARConfig
from genstudio.configs.var import VARConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.files import write_text
from genstudio.releases import catalogue
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Companions, Release, TokenizerConfig, from_json, to_json
from genstudio.samplers.speculate.settings import Lantern, SpecTr
from tests.releases import tiny

pytestmark = pytest.mark.usefixtures("home")


def _folder(folder: Path, release: Release) -> Path:
    write_text(folder / "release.json", to_json(release))
    return folder


@pytest.mark.parametrize("release", catalogue.OFFICIAL.values(), ids=lambda one: one.name)
def test_official_releases_survive_their_json(release: Release) -> None:
    assert from_json(to_json(release)) == release


@pytest.mark.parametrize("release", catalogue.OFFICIAL.values(), ids=lambda one: one.name)
def test_a_generator_names_a_tokenizer_with_its_codes(release: Release) -> None:
    if release.tokenizer is None:
        assert isinstance(release.config, TokenizerConfig | DrafterConfig)
        return
    tokenizer = catalogue.find(release.tokenizer).config
    assert type(tokenizer_of(release).config) is type(tokenizer)
    if isinstance(release.config, MARConfig):
        assert release.config.code_width == tokenizer.code_width
        return
    assert release.generator.vocab == tokenizer.vocab
    if isinstance(release.config, VARConfig):
        assert release.config.code_width == tokenizer.code_width
        assert len(release.config.sizes) == len(tokenizer.sizes)


def test_the_published_recipe_ends_at_a_weight_of_two_and_a_half() -> None:
    guidance = catalogue.find("var-d30").recipe.guidance
    assert guidance is not None
    assert (guidance.weight(0.0), guidance.weight(1.0)) == (1.0, 2.5)


STATED = {"nar-b-256": "Apache-2.0", "nar-xl-256": "MIT"}  # on the pages of their repositories


def test_nobody_invented_a_hash_or_a_licence() -> None:
    for release in catalogue.OFFICIAL.values():
        assert release.file is not None
        assert release.file.sha256 is None
        assert release.licence == STATED.get(release.name)


@pytest.mark.parametrize(
    ("typo", "meant"), [("var-d61", "var-d16"), ("VAR-D20", "var-d20"), ("vqvae", "var-vqvae")]
)
def test_a_misspelt_name_gets_the_nearest(typo: str, meant: str) -> None:
    with pytest.raises(GenstudioError, match=typo) as caught:
        catalogue.find(typo)
    assert meant in caught.value.hint
    assert caught.value.code == Exit.USAGE


def test_a_folder_is_found_by_its_path_and_in_the_cache_by_its_name(tmp_path: Path) -> None:
    mine = tiny.release(tiny.GENERATOR, "mine")
    folder = _folder(tmp_path / "runs" / "mine", mine)
    assert catalogue.find(str(folder)) == replace(mine, folder=str(folder))
    cached = _folder(tmp_path / "home" / "models" / "mine", mine)
    assert catalogue.find("mine").folder == str(cached)
    assert "mine" in [one.name for one in catalogue.every()]


def test_a_tokenizer_beside_a_generator_is_named_relative_to_it(tmp_path: Path) -> None:
    _folder(tmp_path / "run" / "tokenizer", tiny.release(tiny.VQ, "tok"))
    folder = _folder(
        tmp_path / "run" / "gen", replace(tiny.release(tiny.GENERATOR), tokenizer="../tokenizer")
    )
    named = catalogue.find(str(folder)).tokenizer
    assert named is not None
    assert catalogue.find(named).name == "tok"


def test_class_names_of_a_user_travel_with_the_release() -> None:
    mine = replace(tiny.release(tiny.GENERATOR), classes=("cat", "dog"))
    assert from_json(to_json(mine)).classes == ("cat", "dog")


def test_a_folder_that_is_no_release_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match=r"holds no release\.json") as caught:
        catalogue.find(str(tmp_path))
    assert caught.value.code == Exit.WEIGHTS
    write_text(tmp_path / "release.json", to_json(tiny.release(tiny.VQ)).replace('"vocab"', '"vocabulary"'))
    with pytest.raises(GenstudioError, match=r"is no release: config\.multiscale_vq\.vocab"):
        catalogue.find(str(tmp_path))


def test_bundled_folders_are_called_as_they_are_named() -> None:
    root = catalogue.bundled_root()
    assert root is not None
    for path in root.glob("*/release.json"):
        assert from_json(path.read_bytes()).name == path.parent.name


def test_listing_needs_no_torch() -> None:
    code = "import sys, genstudio.releases.catalogue as c; c.every(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("release", catalogue.OFFICIAL.values(), ids=lambda one: one.name)
def test_companions_fit(release: Release) -> None:
    if release.companions.draft:
        assert SpecTr().refusal(release, ()) is None
    if release.companions.drafter:
        assert Lantern(k=0).refusal(release, ()) is None


def test_a_companion_beside_a_folder_is_found_from_anywhere(tmp_path: Path) -> None:
    _folder(tmp_path / "small", tiny.release(tiny.SEQUENCE, "small"))
    large = replace(
        tiny.release(tiny.SEQUENCE, "large"), companions=Companions(draft="../small", drafter="x")
    )
    read = catalogue.find(str(_folder(tmp_path / "large", large)))
    assert read.companions == Companions(draft=str(tmp_path / "small"), drafter="x")


def test_a_release_of_before_there_were_companions_is_read() -> None:
    data = json.loads(to_json(tiny.release(tiny.SEQUENCE)))
    del data["companions"]
    assert from_json(json.dumps(data)).companions == Companions()
