"""`genstudio features` from prompts to a file, with a tiny T5 through the real library."""

from dataclasses import replace
from pathlib import Path

import pytest

from genstudio.errors import Exit
from genstudio.releases import catalogue
from genstudio.releases.release import Release
from genstudio.text.features import FeatureFile
from tests.support import genstudio
from tests.text.tiny_t5 import NAME, SLOTS, WIDTH, text_release, write_t5

PROMPTS = "a red bird\na blue fish\n\nA RED <b>bird</b>, a fish\na red bird\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("hub") / NAME)


@pytest.fixture(autouse=True)
def release(home: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A model from text as if somebody had published it, and no other."""
    found = text_release()
    for name in catalogue.OFFICIAL:
        if catalogue.OFFICIAL[name].text is not None:
            monkeypatch.setitem(
                catalogue.OFFICIAL,
                name,
                replace(catalogue.OFFICIAL[name], text=None),  # type: ignore[index]
            )
    monkeypatch.setitem(catalogue.OFFICIAL, found.name, found)  # type: ignore[index]
    return found


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    return tmp_path / "prompts.txt"


def test_prompts_become_a_file_that_the_model_reads(
    folder: Path, prompts: Path, tmp_path: Path, release: Release
) -> None:
    out = tmp_path / "f.safetensors"
    ran = genstudio("features", prompts, "-o", out, "--encoder", folder, "--batch", 2, "--json")
    assert ran.code == Exit.OK and ran.err == ""
    assert (ran.data["prompts"], ran.data["made"], ran.data["model"]) == (3, 3, "tiny-text")
    assert ran.data["making"]["encoder"] == NAME and ran.data["making"]["dtype"] == "float32"
    file = FeatureFile.read(out)
    file.check(release)
    assert list(file.stored) == ["a red bird", "a blue fish", "A RED <b>bird</b>, a fish"]
    assert all(one.width == WIDTH and one.tokens <= SLOTS for one in file.stored.values())
    again = genstudio("features", prompts, "-o", out, "--encoder", folder)
    assert again.code == Exit.OK and "3 prompts for tiny-text, 0 of them read" in again.out


def test_the_encoder_of_the_model_is_found_where_users_put_it(
    folder: Path, home: Path, prompts: Path, tmp_path: Path
) -> None:
    absent = genstudio("features", prompts, "-o", tmp_path / "f")
    assert absent.code == Exit.WEIGHTS and f"hf download {NAME}" in absent.err
    (home / "encoders").mkdir(parents=True)
    (home / "encoders" / NAME).symlink_to(folder)
    assert genstudio("features", prompts, "-o", tmp_path / "f", "-q").code == Exit.OK


def test_info_tells_what_a_features_file_holds(folder: Path, prompts: Path, tmp_path: Path) -> None:
    genstudio("features", prompts, "-o", tmp_path / "f.safetensors", "--encoder", folder)
    found = genstudio("info", tmp_path / "f.safetensors", "--json").data
    assert found["features"]["making"]["encoder"] == NAME and found["features"]["prompts"] == 3
    lines = genstudio("info", tmp_path / "f.safetensors").out.splitlines()
    assert ["features.making.encoder", NAME] in [line.split() for line in lines]


@pytest.mark.parametrize(
    ("content", "words", "code"),
    [
        ("a bird\n" + " ".join(["red"] * SLOTS), "tokens, 12 can be read", Exit.USAGE),
        ("a bird\n鳥", "Nothing of the prompt", Exit.USAGE),
        ("\n", "holds no prompt", Exit.USAGE),
    ],
)
def test_mistakes_are_told_before_weights_are_read(
    folder: Path, tmp_path: Path, content: str, words: str, code: Exit
) -> None:
    (tmp_path / "p.txt").write_text(content)
    (folder / "model.safetensors").rename(folder / "away")
    try:
        ran = genstudio("features", tmp_path / "p.txt", "-o", tmp_path / "f", "--encoder", folder)
    finally:
        (folder / "away").rename(folder / "model.safetensors")
    assert ran.code == code and words in ran.err and len(ran.err.strip().splitlines()) == 2
    assert not (tmp_path / "f").exists()


def test_a_model_of_classes_reads_no_prompts(prompts: Path, tmp_path: Path) -> None:
    ran = genstudio("features", prompts, "-o", tmp_path / "f", "--model", "var-d16")
    assert ran.code == Exit.USAGE and "reads no text" in ran.err
