"""What emoji names state of tone, gender and hair, and what they leave open."""

import subprocess
import sys

import pytest

from genstudio.configs.features import Attribute, ClassifierConfig
from genstudio.data.attributes import ATTRIBUTES, UNANSWERED, answer_indices, answers
from genstudio.releases.catalogue import find
from genstudio.training.recipe import read_recipe


@pytest.mark.parametrize(
    ("caption", "tone", "gender", "hair"),
    [
        ("man firefighter: medium skin tone", "medium", "man", "none"),
        ("firefighter: medium-dark skin tone", "medium-dark", "person", "none"),
        ("Woman: Dark Skin Tone, Curly Hair", "dark", "woman", "curly hair"),
        ("person: medium-light skin tone, beard", "medium-light", "person", "beard"),
        ("woman: bald", "none", "woman", "bald"),
        ("handshake: light skin tone, dark skin tone", "mixed", "none", "none"),
        ("kiss: woman, man, medium skin tone", "medium", "mixed", "none"),
        ("couple with heart: light skin tone, medium-light skin tone", "mixed", "person", "none"),
        ("family: man, girl", "none", "mixed", "none"),
        ("family: woman, woman, girl", "none", "woman", "none"),
        ("woman feeding baby: light skin tone", "light", "woman", "none"),
        ("women holding hands: dark skin tone", "dark", "woman", "none"),
        ("men with bunny ears", "none", "man", "none"),
        ("Mrs. Claus", "none", "woman", None),
        ("old man: medium skin tone", "medium", "man", None),
        ("snowboarder: dark skin tone", None, "person", "none"),
        ("thumbs up: light skin tone", "light", "none", "none"),
    ],
)
def test_names(caption: str, tone: str | None, gender: str, hair: str | None) -> None:
    assert answers(caption) == {"skin_tone": tone, "gender": gender, "hair": hair}


@pytest.mark.parametrize(
    "caption",
    [
        "woman\u2019s hat",
        "men\u2019s room",
        "flag: Isle of Man",
        "artist palette",
        "baby bottle",
        "kiss mark",
        "snowman",
        "manual wheelchair",
        "light bulb",
        "red heart",
        "hair pick",
        "mango",
        "",
    ],
)
def test_words_that_only_look_like_people(caption: str) -> None:
    assert set(answers(caption).values()) == {"none"}


def test_places_among_the_values_and_attributes_that_no_name_speaks_of() -> None:
    assert answer_indices("man: light skin tone, red hair") == [1, 2, 2]
    assert answer_indices("old woman") == [0, 1, UNANSWERED]
    hat, tone = (
        Attribute(name="hat", values=("none", "red")),
        Attribute(name="skin_tone", values=("none", "dark")),
    )
    assert answer_indices("man: light skin tone", (hat, tone)) == [UNANSWERED, UNANSWERED]
    assert [attribute.values[0] for attribute in ATTRIBUTES] == ["none"] * 3


@pytest.mark.parametrize("read", [read_recipe("emoji-features").network, find("emoji-features").config])
def test_recipe_and_release_ask_what_the_names_answer(read: object) -> None:
    assert isinstance(read, ClassifierConfig) and read.attributes == ATTRIBUTES


def test_reading_names_costs_no_torch() -> None:
    code = "import sys, genstudio.data.attributes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
