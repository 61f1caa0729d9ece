"""What the flags of text mean for a model, before anything is loaded; prompts in files; names of files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.releases.release import Release, TextPart
from genstudio.text.features import Making, write_features
from genstudio.text.prompts import Prompts, choose_prompts, read_prompts, slug, unread_words
from tests.releases import tiny

pytest.importorskip("ftfy", reason="needs the extra genstudio[text]")

TEXT = replace(
    tiny.release(tiny.CAPTIONED, "tiny-text"), text=TextPart(encoder="hub/tiny-t5", cleaning="deepfloyd")
)
CLASSES = tiny.release(tiny.GENERATOR, "tiny-var")
MAKING = Making(encoder="tiny-t5", sha256="0" * 64, dtype="float32", cleaning="deepfloyd")


@pytest.fixture
def features(tmp_path: Path) -> Path:
    path = tmp_path / "f.safetensors"
    write_features(path, MAKING, {prompt: torch.ones(2, 12) for prompt in ("a red bird", "a fish", "rain")})
    return path


def test_prompts_of_flags_and_of_a_file_come_one_after_the_other(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_text("a fish\n\n  a fish  \n")
    assert choose_prompts(TEXT, ["a bird"], file, negative="rain") == Prompts(
        ("a bird", "a fish", "a fish"), "rain"
    )
    assert Prompts(("a", "b", "a"), "b").texts == ("a", "b")


def test_a_model_of_classes_is_asked_for_nothing() -> None:
    assert choose_prompts(CLASSES) is None
    assert choose_prompts(CLASSES, classes="3") is None


@pytest.mark.parametrize(
    "given", [{"prompts": ["a"]}, {"file": "p.txt"}, {"features": "f"}, {"negative": "rain"}]
)
def test_a_model_of_classes_refuses_text_with_the_reason(given: dict[str, object]) -> None:
    with pytest.raises(
        GenstudioError, match="tiny-var makes pictures of classes; it reads no text"
    ) as caught:
        choose_prompts(CLASSES, **given)  # type: ignore[arg-type]
    assert "-c CLASS" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "makes pictures from text"),
        ({"classes": "3"}, "it knows no classes"),
        ({"prompts": ["a"], "classes": "none"}, "it knows no classes"),
        ({"negative": "rain"}, "makes pictures from text"),
        ({"prompts": [""]}, "A prompt is empty"),
        ({"prompts": ["a bird", "  "]}, "A prompt is empty"),
        ({"prompts": ["a bird"], "negative": ""}, "A prompt is empty"),
        ({"prompts": ["鳥"]}, "Nothing of the prompt '鳥' can be read"),
        ({"file": "absent.txt"}, r"absent\.txt cannot be read"),
        ({"features": "absent"}, "There is no file absent"),
    ],
)
def test_a_model_from_text_refuses_what_says_nothing(given: dict[str, object], words: str) -> None:
    with pytest.raises(GenstudioError, match=words):
        choose_prompts(TEXT, **given)  # type: ignore[arg-type]


def test_a_model_without_a_named_encoder_reads_features_alone(features: Path) -> None:
    nameless = replace(TEXT, text=None)
    with pytest.raises(GenstudioError, match="names no text encoder") as caught:
        choose_prompts(nameless, ["a fish"])
    assert "--features FILE" in caught.value.hint
    assert choose_prompts(nameless, ["a fish"], features=features) is not None


def test_features_alone_mean_all_of_their_prompts_but_the_negative_one(features: Path) -> None:
    source = Source.of(features, "")
    assert choose_prompts(TEXT, features=features) == Prompts(("a red bird", "a fish", "rain"), None, source)
    chosen = choose_prompts(TEXT, features=features, negative="rain")
    assert chosen == Prompts(("a red bird", "a fish"), "rain", source)
    assert choose_prompts(TEXT, ["a fish"], features=features) == Prompts(("a fish",), None, source)


@pytest.mark.parametrize("given", [{"prompts": ["a read bird"]}, {"negative": "a read bird"}])
def test_a_prompt_without_features_is_named_with_the_nearest(
    features: Path, given: dict[str, object]
) -> None:
    with pytest.raises(GenstudioError, match="has no features of 'a read bird'") as caught:
        choose_prompts(TEXT, features=features, **given)  # type: ignore[arg-type]
    assert "'a red bird'" in caught.value.hint


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (
            replace(TEXT, text=TextPart(encoder="t5-v1_1-xl", cleaning="deepfloyd")),
            "of tiny-t5; .* t5-v1_1-xl",
        ),
        (
            replace(TEXT, config=replace(tiny.CAPTIONED, caption=replace(tiny.CAPTIONED.caption, width=8))),
            "wide",
        ),
        (
            replace(TEXT, config=replace(tiny.CAPTIONED, caption=replace(tiny.CAPTIONED.caption, slots=1))),
            "tokens",
        ),
    ],
)
def test_features_of_another_encoder_width_or_length_are_refused(
    features: Path, release: Release, words: str
) -> None:
    with pytest.raises(GenstudioError, match=words):
        choose_prompts(release, features=features)


def test_lines_and_json_lines_hold_prompts(tmp_path: Path) -> None:
    plain, lines = tmp_path / "a.txt", tmp_path / "b.jsonl"
    plain.write_text("\ufeffa “red” bird\r\n\n# 1 fish\n", encoding="utf-8")
    assert read_prompts(plain) == ("a “red” bird", "# 1 fish")
    lines.write_text('{"prompt": "a bird", "id": 3}\n\n{"prompt": "two\\nlines"}\n')
    assert read_prompts(lines) == read_prompts(lines.rename(plain)) == ("a bird", "two\nlines")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.txt", b"\n \n", "holds no prompt"),
        ("p.txt", b"\xff\xfea", "is no text in UTF-8"),
        ("p.jsonl", b'{"prompt": "a"}\n{"text": "b"}', "line 2, holds no prompt"),
        ("p.jsonl", b'{"prompt": "a"}\n\nbird', "line 3, holds no prompt"),
        ("p.jsonl", b'{"prompt": 3}', "line 1, holds no prompt"),
        ("p.txt", b'{"prompt": " "}', "line 1, holds no prompt"),
        ("p.jsonl", b'["a"]', "line 1, holds no prompt"),
    ],
)
def test_files_without_prompts_name_the_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenstudioError, match=words):
        read_prompts(tmp_path / name)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red, round bird!", "a-red-round-bird"),
        ("../../etc/passwd", "etc-passwd"),
        ("Ｒed 鳥", "red-鳥"),
        ("***", "prompt"),
        (" ".join(["word"] * 30), "-".join(["word"] * 9)),
        ("x" * 300, "x" * 48),
    ],
)
def test_a_prompt_names_a_file_that_every_disk_takes(prompt: str, name: str) -> None:
    assert slug(prompt) == name


def test_words_that_are_not_read_are_told_by_prompt() -> None:
    texts = ("A Red Bird!", "a bird 640x480 鳥", "rain, @me")
    assert unread_words(TEXT, texts) == {"a bird 640x480 鳥": ("640x480", "鳥"), "rain, @me": ("me",)}
    assert unread_words(replace(TEXT, text=TextPart(encoder="e")), texts) == {}
