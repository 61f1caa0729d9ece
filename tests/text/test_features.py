"""Features files: what is written comes back, damage is named, and what a model cannot read is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from genstudio.configs.llamagen import Caption, LlamaGenConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.releases.release import Release, TextPart
from genstudio.text.features import FeatureFile, Making, write_features
from tests.releases import tiny

MAKING = Making(encoder="hub/tiny-t5", sha256="ab" * 32, dtype="float32", cleaning="deepfloyd")
CONFIG = LlamaGenConfig(
    depth=2, width=32, heads=2, hidden=64, vocab=64, side=4, caption=Caption(slots=6, width=4)
)
RELEASE = replace(
    tiny.release(CONFIG, "tiny-text"), text=TextPart(encoder="someone/Tiny-T5", cleaning="deepfloyd")
)


def rows() -> dict[str, Tensor]:
    """Features of three prompts, of other lengths each."""
    generator = torch.Generator().manual_seed(0)
    prompts = {"a red bird": 4, "鳥, a “bird”": 6, "x": 1}
    return {prompt: torch.randn(tokens, 4, generator=generator) for prompt, tokens in prompts.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_features(tmp_path / "f.safetensors", MAKING, rows())
    return tmp_path / "f.safetensors"


def test_prompts_and_numbers_come_back_without_padding(path: Path) -> None:
    file = FeatureFile.read(path)
    assert file.making == MAKING and list(file.stored) == list(rows())
    for prompt, rows_tE in rows().items():
        assert torch.equal(file.rows(prompt), rows_tE)


def test_features_are_kept_in_the_number_type_of_the_encoder(tmp_path: Path) -> None:
    made = {prompt: rows_tE.bfloat16() for prompt, rows_tE in rows().items()}
    write_features(tmp_path / "f", replace(MAKING, dtype="bfloat16"), made)
    file = FeatureFile.read(tmp_path / "f")
    assert all(torch.equal(file.rows(prompt), rows_tE) for prompt, rows_tE in made.items())
    assert file.rows("x").dtype == torch.bfloat16


def test_a_model_reads_what_was_made_for_it_wherever_the_encoder_lay(path: Path) -> None:
    FeatureFile.read(path).check(RELEASE)
    FeatureFile.read(path).check(replace(RELEASE, text=None))


def narrow(release: Release, **changes: int) -> Release:
    caption = replace(CONFIG.caption, **changes)  # type: ignore[type-var]
    return replace(release, config=replace(CONFIG, caption=caption))


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (
            replace(RELEASE, text=TextPart(encoder="t5-v1_1-xl", cleaning="deepfloyd")),
            "of hub/tiny-t5; .* reads",
        ),
        (replace(RELEASE, text=TextPart(encoder="tiny-t5")), "cleaned by 'deepfloyd', not 'none'"),
        (
            replace(RELEASE, text=TextPart(encoder="tiny-t5", cleaning="deepfloyd", sha256="0")),
            "other weights",
        ),
        (narrow(RELEASE, width=8), "are 4 wide; tiny-text reads 8"),
        (narrow(RELEASE, slots=5), "have 6 tokens for '鳥, a “bird”'; tiny-text reads 5"),
    ],
)
def test_what_a_model_cannot_read_is_refused_with_both_sides(
    path: Path, release: Release, words: str
) -> None:
    with pytest.raises(GenstudioError, match=words) as caught:
        FeatureFile.read(path).check(release)
    assert caught.value.code == Exit.USAGE and "genstudio features" in caught.value.hint


def test_rules_of_another_version_are_refused(path: Path) -> None:
    write_features(path, replace(MAKING, cleaning_version=99), rows())
    with pytest.raises(GenstudioError, match="another version"):
        FeatureFile.read(path).check(RELEASE)
    write_features(path, replace(MAKING, cleaning="none", cleaning_version=99), rows())
    FeatureFile.read(path).check(replace(RELEASE, text=TextPart(encoder="tiny-t5")))


def test_missing_and_truncated_files_are_named(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(GenstudioError, match=r"f\.safetensors is truncated or damaged") as caught:
            FeatureFile.read(path)
        assert caught.value.code == Exit.WEIGHTS
    with pytest.raises(GenstudioError, match=r"absent.*cannot be read"):
        FeatureFile.read(tmp_path / "absent")


def _saved(path: Path, about: object, **tensors: Tensor) -> Path:
    save_file(tensors, path, {"genstudio": json.dumps(about)})
    return path


def test_files_of_another_kind_say_what_they_lack(tmp_path: Path) -> None:
    making = {"encoder": "e", "sha256": "0", "dtype": "float32", "cleaning": "none", "cleaning_version": 1}
    one, two = {"00000000": torch.zeros(2, 4)}, {"00000000": torch.zeros(2, 4), "00000001": torch.zeros(2, 4)}
    cases = [
        ({}, one, "holds no text features"),
        ({"features": {"prompts": ["a"]}}, one, "does not say how"),
        ({"features": {"making": {**making, "dtype": "int8"}, "prompts": ["a"]}}, one, "does not say how"),
        ({"features": {"making": making, "prompts": ["a", "b"]}}, one, "one tensor per prompt"),
        ({"features": {"making": making, "prompts": ["a", "a"]}}, two, "one tensor per prompt"),
        ({"features": {"making": making, "prompts": ["a"]}}, {"00000000": torch.zeros(4)}, "no features"),
    ]
    for about, tensors, words in cases:
        with pytest.raises(GenstudioError, match=words):
            FeatureFile.read(_saved(tmp_path / "f", about, **tensors))


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GenstudioError, match="disk is full"):
        write_features(path, MAKING, rows())
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_opening_and_checking_cost_no_torch() -> None:
    code = "import sys, genstudio.text.features, genstudio.text.prompts, genstudio.text.encoder; "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
