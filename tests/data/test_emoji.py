"""Emoji: the list, the split of compositions, and drawing where the font is installed."""

from pathlib import Path

import pytest
import torch

from genstudio.data.attributes import ATTRIBUTES, answers
from genstudio.data.emoji import DEBIAN_FILES, Entry, read_list
from genstudio.data.pictures import Attributed, Captioned
from genstudio.data.sources import open_pictures
from genstudio.errors import GenstudioError

LIST = """# emoji-test.txt
# group: Smileys & Emotion
# subgroup: face-smiling
1F600                      ; fully-qualified     # 😀 E1.0 grinning face
263A                       ; unqualified         # ☺ E0.6 smiling face
# group: People & Body
# subgroup: person-role
1F468 1F3FD 200D 1F692     ; fully-qualified     # 👨🏽‍🚒 E4.0 man firefighter: medium skin tone
"""
needs_emoji = pytest.mark.skipif(
    not all((folder / name).is_file() for name, (folder, _) in DEBIAN_FILES.items()),
    reason="the packages fonts-noto-color-emoji and unicode-data are not installed",
)


def entry(*points: int, name: str = "") -> Entry:
    return Entry("".join(map(chr, points)), name, "", "")


def test_the_list_keeps_fully_qualified_emoji(tmp_path: Path) -> None:
    path = tmp_path / "emoji-test.txt"
    path.write_text(LIST, encoding="utf-8")
    grin, firefighter = read_list(path)
    assert (grin.text, grin.name, grin.subgroup) == ("\U0001f600", "grinning face", "face-smiling")
    assert firefighter.name == "man firefighter: medium skin tone" and firefighter.group == "People & Body"
    assert firefighter.composed and not grin.composed


def test_compositions_are_tone_hair_gender_and_profession() -> None:
    assert entry(0x1F44B, 0x1F3FB).composed  # waving hand, light
    assert entry(0x1F468, 0x200D, 0x1F9B0).composed  # man, red hair
    assert entry(0x1F3C3, 0x200D, 0x2640, 0xFE0F).composed  # woman running
    assert entry(0x1F9D1, 0x200D, 0x1F692).composed  # firefighter
    assert not entry(0x1F468).composed  # man
    assert not entry(0x1F1EB, 0x1F1F7).composed  # flag: France
    assert not entry(0x2764, 0xFE0F, 0x200D, 0x1F525).composed  # heart on fire


def test_a_tenth_of_the_compositions_is_held_out() -> None:
    held_out = sum(entry(0x1F44B, 0x1F3FB, name=f"hand {i}").split == "test" for i in range(5000))
    assert abs(held_out - 500) < 100  # 4.7 standard deviations of a fair tenth
    assert all(entry(0x1F600, name=f"face {i}").split == "train" for i in range(100))


def test_missing_files_name_the_package(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError) as caught:
        open_pictures(f"emoji:{tmp_path}", "train", 64, 3)
    assert "fonts-noto-color-emoji" in caught.value.hint


def test_a_font_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "emoji-test.txt").write_text(LIST, encoding="utf-8")
    (tmp_path / "NotoColorEmoji.ttf").write_bytes(b"no font")
    with pytest.raises(GenstudioError, match=r"NotoColorEmoji\.ttf is no colour font"):
        open_pictures(f"emoji:{tmp_path}", "train", 64, 3)


@needs_emoji
def test_drawing_in_colour_on_white_with_captions() -> None:
    train, test = (open_pictures("emoji", split, 64, 3) for split in ("train", "test"))
    assert len(train) > 3000 and 100 < len(test) < 400 and train.classes == test.classes
    assert isinstance(train, Captioned) and isinstance(test, Captioned)
    assert train.captions([0]) == ["grinning face"]
    assert train.classes[int(train.labels([0])[0])] == "face-smiling"
    x_CHW = train.pixels([0])[0]
    assert x_CHW.shape == (3, 64, 64) and x_CHW.dtype == torch.uint8
    assert x_CHW[:, 0, 0].tolist() == [255, 255, 255]
    red, green, blue = x_CHW[:, 40, 8].tolist()
    assert red > 200 and green > 120 and blue < 120  # the yellow of a face
    assert not set(test.captions(range(len(test)))) & set(train.captions(range(len(train))))


@needs_emoji
def test_names_answer_for_their_pictures() -> None:
    test = open_pictures("emoji", "test", 64, 3)
    assert isinstance(test, Attributed) and isinstance(test, Captioned) and test.attributes == ATTRIBUTES
    answer_NQ = test.answers(range(len(test)))
    place = test.captions(range(len(test))).index("woman: dark skin tone, bald")
    assert [one.values[int(v)] for one, v in zip(ATTRIBUTES, answer_NQ[place], strict=True)] == [
        "dark",
        "woman",
        "bald",
    ]


@needs_emoji
def test_roles_that_have_a_woman_and_a_man_are_persons_by_themselves() -> None:
    train, test = (open_pictures("emoji", split, 64, 3) for split in ("train", "test"))
    assert isinstance(train, Captioned) and isinstance(test, Captioned)
    names = {*train.captions(range(len(train))), *test.captions(range(len(test)))}
    roles = {name for name in names if {f"woman {name}", f"man {name}"} & names}
    assert len(roles) > 100
    assert {name for name in roles if answers(name)["gender"] != "person"} == set()


@needs_emoji
def test_sequences_are_one_picture() -> None:
    train = open_pictures("emoji", "train", 64, 3)
    assert isinstance(train, Captioned)
    names = train.captions(range(len(train)))
    man, dark = names.index("man: light skin tone"), names.index("flag: France")
    assert not torch.equal(*train.pixels([man, dark]))
    flag_CHW = train.pixels([dark])[0].float()
    left, right = flag_CHW[:, 32, 12], flag_CHW[:, 32, 52]
    assert left[2] > left[0] and right[0] > right[2]  # blue, then red
