"""Architecture numbers of the small classifiers whose features score pictures; no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig:
    """A convolutional classifier: `width` channels at full size, `features` in the scored space."""

    kind: Literal["classifier"] = "classifier"
    channels: int
    pixels: int
    width: int
    features: int
    classes: int
