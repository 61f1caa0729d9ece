"""A T5 encoder through the real library: slots, padding, what does not fit, what is not here or damaged.

The network is tiny and random; tokenizer, number types and files are transformers' own.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from genstudio.configs.llamagen import Caption
from genstudio.errors import Exit, GenstudioError
from genstudio.releases.release import TextPart
from genstudio.runtime import Runtime
from genstudio.text.encoder import find_encoder
from genstudio.text.t5 import T5, Tokens, open_t5, open_tokens
from tests.text.tiny_t5 import NAME, SLOTS, WIDTH, text_release, write_t5

PROMPTS = ["a red bird", "A BLUE fish, <b>big</b>", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("hub") / NAME)


@pytest.fixture
def installed(folder: Path, home: Path) -> Iterator[Path]:
    """The encoder where a user would put it."""
    (home / "encoders").mkdir(parents=True)
    (home / "encoders" / NAME).symlink_to(folder)
    yield home / "encoders" / NAME


def opened(folder: Path, slots: int = SLOTS, dtype: str = "float32") -> T5:
    return T5(str(folder), "deepfloyd", slots, Runtime("cpu", dtype))  # type: ignore[arg-type]


def test_features_are_those_of_the_library_moved_behind_zeros(folder: Path) -> None:
    """Right-padded tokens through the library itself, then: padding first and zero, the mask with it."""
    from transformers import AutoTokenizer, T5EncoderModel

    read = ["a red bird", "a blue fish, big", "x"]
    found = AutoTokenizer.from_pretrained(folder)(
        read, padding="max_length", max_length=SLOTS, return_tensors="pt"
    )
    with torch.no_grad():
        plain_BTE = T5EncoderModel.from_pretrained(folder).eval()(**found).last_hidden_state
    features_BTE, open_BT = opened(folder)(PROMPTS)
    assert features_BTE.shape == (3, SLOTS, WIDTH) and open_BT.dtype == torch.bool
    for row, tokens in enumerate(found["attention_mask"].sum(1).tolist()):
        assert open_BT[row].tolist() == [False] * (SLOTS - tokens) + [True] * tokens
        assert torch.equal(features_BTE[row, SLOTS - tokens :], plain_BTE[row, :tokens])
        assert features_BTE[row, : SLOTS - tokens].count_nonzero() == 0


def test_a_prompt_does_not_depend_on_its_neighbours(folder: Path) -> None:
    encoder = opened(folder)
    together_BTE, _ = encoder(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        alone_1TE, _ = encoder([prompt])
        torch.testing.assert_close(alone_1TE[0], together_BTE[row])


def test_prompts_are_cleaned_before_they_are_read(folder: Path) -> None:
    tokens = Tokens(folder, "deepfloyd", SLOTS)
    assert torch.equal(tokens(["A <b>RED</b> bird 鳥"])[0], tokens(["a red bird"])[0])
    assert not torch.equal(Tokens(folder, "none", SLOTS)(["A red bird"])[0], tokens(["a red bird"])[0])


def test_a_prompt_that_fills_the_slots_is_read_and_one_more_token_is_refused(folder: Path) -> None:
    """Of N slots the last one is the end mark's: N - 1 tokens fit. Nothing is cut in silence."""
    tokens = Tokens(folder, "deepfloyd", SLOTS)
    fits = " ".join(["red"] * (SLOTS - 1))
    ids_BT, open_BT = tokens([fits])
    assert bool(open_BT.all()) and ids_BT[0, -1] == 1
    with pytest.raises(GenstudioError, match=rf"has {SLOTS + 3} tokens, {SLOTS} can be read") as caught:
        tokens([fits, f"{fits} blue Fish bird"])
    assert "not read would be 'blue fish bird'" in caught.value.hint


def test_float16_is_read_in_bfloat16_and_weights_hash_alike_in_any_type(folder: Path) -> None:
    plain, half = opened(folder), opened(folder, dtype="float16")
    assert half.making.dtype == "bfloat16" and half(["x"])[0].dtype == torch.bfloat16
    assert plain.making.sha256 == half.making.sha256
    assert plain.making.encoder == NAME


def test_other_weights_have_another_hash(folder: Path, tmp_path: Path) -> None:
    assert opened(folder).making.sha256 != opened(write_t5(tmp_path / NAME, seed=1)).making.sha256


def test_an_encoder_is_found_below_the_home_by_the_last_part_of_its_name(installed: Path) -> None:
    assert find_encoder(f"someone/{NAME}") == installed
    release = text_release(TextPart(encoder=f"someone/{NAME}", cleaning="deepfloyd"))
    assert open_t5(release, Runtime())(["x"])[0].shape == (1, SLOTS, WIDTH)
    assert open_tokens(release).slots == SLOTS


def test_the_cache_of_the_hub_is_looked_into_and_nobody_is_asked(
    folder: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*arguments: object) -> None:
        raise AssertionError("a socket was opened")

    repository = tmp_path / "models--someone--tiny-t5"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("c" * 40)).symlink_to(folder)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert find_encoder("someone/tiny-t5").samefile(folder)


def test_an_encoder_that_is_not_here_comes_with_every_way_to_get_it(home: Path) -> None:
    with pytest.raises(GenstudioError, match="someone/absent is not on this machine") as caught:
        find_encoder("someone/absent")
    assert caught.value.code == Exit.WEIGHTS
    for word in ("hf download someone/absent", str(home / "encoders" / "absent"), "--features FILE"):
        assert word in caught.value.hint


def test_folders_of_other_networks_and_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match="holds no text encoder"):
        find_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(GenstudioError, match="holds a bert; known text encoders are: t5"):
        find_encoder(str(tmp_path))


def test_an_encoder_of_another_width_or_other_weights_is_refused(folder: Path) -> None:
    release = text_release(TextPart(encoder=str(folder)))
    wide = replace(release, config=replace(release.config, caption=Caption(slots=SLOTS, width=WIDTH + 4)))
    with pytest.raises(GenstudioError, match=f"are {WIDTH} wide; tiny-text reads {WIDTH + 4}"):
        open_t5(wide, Runtime())
    with pytest.raises(GenstudioError, match="other weights here than tiny-text was trained with"):
        open_t5(text_release(TextPart(encoder=str(folder), sha256="0" * 64)), Runtime())


def test_damaged_and_incomplete_folders_are_named_without_a_traceback(folder: Path, tmp_path: Path) -> None:
    whole = write_t5(tmp_path / "whole")
    tensors = load_file(whole / "model.safetensors")
    some = {name: tensor.clone() for name, tensor in tensors.items() if "layer_norm" not in name}
    save_file(some, whole / "model.safetensors", {"format": "pt"})
    with pytest.raises(GenstudioError, match=r"lacks \d+ tensors of a T5 encoder") as caught:
        opened(whole)
    assert caught.value.code == Exit.WEIGHTS
    (whole / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(GenstudioError, match="cannot be read"):
        opened(whole)
    (whole / "tokenizer.json").write_text("{")
    with pytest.raises(GenstudioError, match="cannot be read"):
        opened(whole)


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    opened(folder)
    assert capfd.readouterr() == ("", "")
