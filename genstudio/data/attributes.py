"""What a Unicode emoji name says of its picture: skin tone, gender and hair. No torch.

Read from the caption alone, e.g. "woman cook: dark skin tone", so that captions which no list holds can be
asked about too. Couples of two tones, or of a woman and a man, are "mixed". "person" is a human whom the name
calls neither woman nor man; Noto draws the three apart. The first value of each attribute, "none", is what
captions mean that do not speak of it.
"""

import re
from collections.abc import Sequence
from typing import Final

from genstudio.configs.features import Attribute

NONE, MIXED = "none", "mixed"
SKIN_TONE: Final = Attribute(
    name="skin_tone", values=(NONE, "light", "medium-light", "medium", "medium-dark", "dark", MIXED)
)
GENDER: Final = Attribute(name="gender", values=(NONE, "woman", "man", "person", MIXED))
HAIR: Final = Attribute(
    name="hair", values=(NONE, "blond hair", "red hair", "white hair", "curly hair", "bald", "beard")
)
ATTRIBUTES: Final = (SKIN_TONE, GENDER, HAIR)
UNANSWERED: Final = -1

_TONE = re.compile(r"\b(light|medium-light|medium|medium-dark|dark) skin tone\b")
_WOMAN = frozenset({"woman", "women", "girl", "princess", "mermaid", "mrs.", "breast-feeding"})
_MAN = frozenset({"man", "men", "boy", "prince", "merman", "santa"})
_PERSON = frozenset({"person", "people", "merperson", "mx"})
_PERSONS = frozenset(
    {"artist", "astronaut", "baby", "baby angel", "child", "construction worker", "cook"}
    | {"couple with heart", "detective", "elf", "factory worker", "fairy", "family", "farmer", "firefighter"}
    | {"genie", "guard", "health worker", "horse racing", "judge", "kiss", "mage", "mechanic", "ninja"}
    | {"office worker", "pilot", "police officer", "scientist", "singer", "skier", "snowboarder", "student"}
    | {"superhero", "supervillain", "teacher", "technologist", "vampire", "zombie"}
)
_COLOURED = frozenset({"old", "older", "claus", "mage", "fairy", "merperson"})  # white or red hair, unsaid
_COVERED = frozenset({"snowboarder"})  # every tone is the same picture


def answers(caption: str) -> dict[str, str | None]:
    """The value of every attribute by its name; None where Noto's picture does not keep to the words."""
    words = frozenset(re.split(r"[\s:,]+", caption.lower()))
    return {
        SKIN_TONE.name: None if words & _COVERED else _tone(caption),
        GENDER.name: _gender(words, caption.partition(":")[0].strip().lower()),
        HAIR.name: None if words & _COLOURED else _hair(caption),
    }


def answer_indices(caption: str, attributes: Sequence[Attribute] = ATTRIBUTES) -> list[int]:
    """Places of the answers among each attribute's values; UNANSWERED also for attributes not known here."""
    given = answers(caption)
    values = [given.get(attribute.name) for attribute in attributes]
    return [
        attribute.values.index(value) if value in attribute.values else UNANSWERED
        for attribute, value in zip(attributes, values, strict=True)
    ]


def _tone(caption: str) -> str:
    tones = set(_TONE.findall(caption.lower()))
    return MIXED if len(tones) > 1 else next(iter(tones), NONE)


def _gender(words: frozenset[str], subject: str) -> str:
    """Whom the words name; a child in a person's arms does not make them two."""
    if subject == "flag":  # of the Isle of Man
        return NONE
    woman, man = bool(words & _WOMAN), bool(words & _MAN)
    if woman and man:
        return MIXED
    if woman or man:
        return "woman" if woman else "man"
    return "person" if words & _PERSON or subject in _PERSONS else NONE


def _hair(caption: str) -> str:
    return next((value for value in HAIR.values[1:] if re.search(rf"\b{value}\b", caption.lower())), NONE)
