"""What a teacher's samples are made from, by number: its classes, or the prompts of a features file.

Shapes: B pictures, T slots, E width of features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from genstudio.distillation.teacher import Teacher
from genstudio.errors import GenstudioError
from genstudio.files import digest
from genstudio.samplers.values import Given
from genstudio.text.features import FeatureFile
from genstudio.text.reader import padded


@dataclass(frozen=True, slots=True)
class Conditions:
    """`names` in their order; `given` takes numbers [B] on the teacher's device; `reads` are fingerprints of
    what they depend on beside the teacher."""

    names: tuple[str, ...]
    given: Callable[[Tensor], Given]
    reads: Mapping[str, str] = field(default_factory=dict)


def conditions_of(teacher: Teacher, features: str | None) -> Conditions:
    """All that a teacher can be asked for. Raises GenstudioError where it is made from text and there are no
    features, for features that do not fit it, and for features where it is made from classes."""
    name, caption = teacher.release.name, teacher.release.caption
    if caption is None:
        if features is not None:
            raise GenstudioError(f"{name} is made from classes, not from text.", "Leave --features away.")
        return Conditions(teacher.classes, Given)
    if features is None:
        hint = "Give --features FILE, made of prompts by `genstudio features`."
        raise GenstudioError(f"{name} is made from text, and no prompts are given.", hint)
    file = FeatureFile.read(Path(features))
    file.check(teacher.release)
    prompts = tuple(file.stored)

    def given(number_B: Tensor) -> Given:
        rows = [file.rows(prompts[number]) for number in number_B.tolist()]
        text_BTE, open_BT = padded(rows, caption)
        return Given(text=text_BTE.to(number_B.device), open_BT=open_BT.to(number_B.device))

    return Conditions(prompts, given, {"features": digest(file.path)})
