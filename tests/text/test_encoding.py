"""Many prompts to one file: batches that are kept, runs that go on, and features for a run of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.releases.release import TextPart
from genstudio.request import Request, Wanted
from genstudio.runtime import Runtime
from genstudio.samplers.recipe import Recipe
from genstudio.text import reader as reading
from genstudio.text.encoding import encode
from genstudio.text.features import FeatureFile, Making, write_features
from genstudio.text.reader import Reader
from tests.releases import tiny

MAKING = Making(encoder="tiny-t5", sha256="0" * 64, dtype="float32", cleaning="none")
PROMPTS = [f"prompt {'long ' * (number % 3)}{number}" for number in range(11)]
SLOTS, WIDTH = 5, 12


@dataclass
class Letters:
    """Says of a prompt its words' lengths; remembers what it was asked, and may be stopped."""

    making: Making = MAKING
    asked: list[list[str]] = field(default_factory=list)
    stop_after: int = 10**9

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        if len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(list(prompts))
        features_BTE, open_BT = torch.zeros(len(prompts), SLOTS, WIDTH), torch.zeros(len(prompts), SLOTS)
        for row, prompt in enumerate(prompts):
            words = [float(len(word)) + int(word[-1].isdigit() and word) for word in prompt.split()]
            features_BTE[row, -len(words) :] = torch.tensor(words)[:, None]
            open_BT[row, -len(words) :] = 1
        return features_BTE, open_BT.bool()


def said(path: Path) -> dict[str, list[float]]:
    file = FeatureFile.read(path)
    return {prompt: file.rows(prompt)[:, 0].tolist() for prompt in file.stored}


def test_every_prompt_has_its_features_in_the_order_asked_for(tmp_path: Path) -> None:
    heard: list[int] = []
    encoder = Letters()
    made = encode(encoder, PROMPTS, tmp_path / "f", 4, heard.append)
    assert made.made == 11 and heard == [4, 8, 11] and list(map(len, encoder.asked)) == [4, 4, 3]
    assert list(said(tmp_path / "f")) == PROMPTS
    assert said(tmp_path / "f")["prompt long 1"] == [6.0, 4.0, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    encode(Letters(), PROMPTS, tmp_path / "whole", 4, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        encode(Letters(stop_after=2), PROMPTS, tmp_path / "f", 4, lambda _: None)
    assert not (tmp_path / "f").exists()
    again = Letters()
    assert encode(again, PROMPTS, tmp_path / "f", 4, lambda _: None).made == 3
    assert again.asked == [PROMPTS[8:]]
    assert (tmp_path / "f").read_bytes() == (tmp_path / "whole").read_bytes()


def test_parts_that_are_damaged_or_made_otherwise_are_made_anew(tmp_path: Path) -> None:
    for stopped in (Letters(stop_after=2), Letters(replace(MAKING, sha256="1" * 64), stop_after=2)):
        with pytest.raises(KeyboardInterrupt):
            encode(stopped, PROMPTS, tmp_path / "f", 4, lambda _: None)
        assert len(stopped.asked) == 2
    part = next((tmp_path / "f.parts").iterdir())
    part.write_bytes(part.read_bytes()[:-8])
    again = Letters(replace(MAKING, sha256="1" * 64))
    assert encode(again, PROMPTS, tmp_path / "f", 4, lambda _: None).made == 7
    with pytest.raises(KeyboardInterrupt):
        encode(Letters(stop_after=1), PROMPTS, tmp_path / "g", 4, lambda _: None)
    assert encode(Letters(), PROMPTS[1:], tmp_path / "g", 4, lambda _: None).made == 10


def test_a_finished_file_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    encode(Letters(), PROMPTS, tmp_path / "f", 4, lambda _: None)
    again = Letters()
    assert encode(again, PROMPTS, tmp_path / "f", 4, lambda _: None).made == 0 and again.asked == []
    for encoder, prompts in ((Letters(), PROMPTS[:3]), (Letters(replace(MAKING, dtype="bfloat16")), PROMPTS)):
        with pytest.raises(GenstudioError, match="holds features of other prompts, or made in another way"):
            encode(encoder, prompts, tmp_path / "f", 4, lambda _: None)
    (tmp_path / "h").write_text("notes")
    with pytest.raises(GenstudioError, match="truncated or damaged"):
        encode(Letters(), PROMPTS, tmp_path / "h", 4, lambda _: None)


RELEASE = replace(tiny.release(tiny.CAPTIONED, "tiny-text"), text=TextPart(encoder="tiny-t5"))


def request(*prompts: str, features: Source | None = None, negative: str | None = None) -> Request:
    pictures = tuple(Wanted(None, seed, prompt) for seed, prompt in enumerate(prompts))
    return Request(
        model="m", pictures=pictures, recipe=Recipe(), batch=2, features=features, negative=negative
    )


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    encoder = Letters()
    monkeypatch.setattr(reading, "open_t5", lambda release, runtime: encoder)
    return encoder


def test_a_run_asks_the_encoder_once_for_each_different_prompt(letters: Letters) -> None:
    reader = Reader(RELEASE, Runtime())
    run = request("a bird", "fish", "a bird", negative="rain")
    assert reader.digests == {}
    read = reader.given(run, [0, 2])
    reader.given(run, [1])
    assert letters.asked == [["a bird", "fish", "rain"]] and reader.digests == {"tiny-t5": "0" * 64}
    assert read.text is not None and read.open_BT is not None
    assert read.text.shape == (2, SLOTS, WIDTH) and read.text[0].equal(read.text[1])
    assert read.open_BT[0].tolist() == [False, False, False, True, True]
    assert read.text[0, :, 0].tolist() == [0, 0, 0, 1, 4]
    assert read.negative is not None and read.negative_BT is not None
    assert read.negative[1, :, 0].tolist() == [0, 0, 0, 0, 4] and read.negative_BT[0].sum() == 1
    reader.given(request("a bird", "new"), [0, 1])
    assert letters.asked[1:] == [["new"]]


def test_a_file_gives_what_the_encoder_would(letters: Letters, tmp_path: Path) -> None:
    encode(letters, ["a bird", "fish", "rain"], tmp_path / "f", 2, lambda _: None)
    letters.asked.clear()
    source = Source.of(tmp_path / "f", "")
    stored = Reader(RELEASE, Runtime()).given(
        request("fish", "a bird", features=source, negative="rain"), [0, 1]
    )
    assert letters.asked == []
    plain = Reader(RELEASE, Runtime()).given(request("fish", "a bird", negative="rain"), [0, 1])
    for name in ("text", "open_BT", "negative", "negative_BT"):
        assert getattr(stored, name).equal(getattr(plain, name))


def test_a_file_that_changed_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_features(path, replace(MAKING, encoder="other"), {"a": torch.ones(2, WIDTH)})
    with pytest.raises(GenstudioError, match="are of other; tiny-text reads tiny-t5"):
        Reader(RELEASE, Runtime()).given(request("a", features=Source.of(path, "")), [0])
    stale = replace(Source.of(path, ""), sha256="0" * 64)
    with pytest.raises(GenstudioError, match="not what it was"):
        Reader(RELEASE, Runtime()).given(request("a", features=stale), [0])
