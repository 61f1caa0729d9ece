"""Architecture numbers of the small classifiers whose features score pictures; no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A further question about a picture, e.g. its skin tone, whose answer is one of `values`.

    The first value says that there is none of the others, as in a caption that does not speak of it.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig:
    """A convolutional classifier: `width` channels at full size, `features` in the scored space.

    `attributes` are asked beside the class, each with logits of its own.
    """

    kind: Literal["classifier"] = "classifier"
    channels: int
    pixels: int
    width: int
    features: int
    classes: int
    attributes: tuple[Attribute, ...] = ()
