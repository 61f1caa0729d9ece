"""Which student a teacher has, and how it begins: Distilled Decoding (arXiv 2412.17153) for VAR and LlamaGen.

A student begins as its teacher: trunk, class embedding and heads of the same names. What a teacher lacks is
fresh: the marks of data and noise, the head of vectors, a linear layer in place of LlamaGen's table, and the
rows of VAR for the level of the first code, since the class in front of it is a level of its own.
"""

from dataclasses import fields
from typing import Any, Final

import torch
from torch import nn

from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.configs.students import LlamaGenStudentConfig, StudentConfig, VARStudentConfig
from genstudio.configs.var import VARConfig
from genstudio.errors import GenstudioError
from genstudio.generators.students import LlamaGenStudent, VARStudent
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Release
from genstudio.training.initial import adopt

SHIFTED: Final = {
    "slot_pos": 1,
    "level_embed.weight": 0,
}  # names of VAR's rows, and along which axis they lie


def student_config(teacher: Release) -> StudentConfig:
    """The numbers of a teacher's student. Raises GenstudioError for a teacher without a codebook, one from
    text, and one of a kind that has no student. Reads configs alone."""
    config = teacher.generator
    if not hasattr(tokenizer_of(teacher).config, "vocab"):
        raise GenstudioError(
            f"{teacher.name} is a {teacher.method}, whose codes are of no codebook: no flow leads to them.",
            "Choose a teacher of ids, a var or a llamagen: genstudio models.",
        )
    if teacher.caption is not None:
        raise GenstudioError(
            f"{teacher.name} is made from text, and students learn from classes alone.",
            "Choose a teacher that is made from classes: genstudio models.",
        )
    numbers = {name: value for name, value in _own(config).items() if name not in ("kind", "caption")}
    match config:
        case VARConfig():
            return VARStudentConfig(**numbers)
        case LlamaGenConfig():
            return LlamaGenStudentConfig(**numbers, code_width=_code_width(teacher))
    raise GenstudioError(
        f"{teacher.name} is a {teacher.method}, for which there is no student.",
        "Choose a var or a llamagen: genstudio models.",
    )


def begin(student: nn.Module, teacher: nn.Module) -> list[str]:
    """Give a student what its teacher knows; returns the names of what stays fresh, at least in part."""
    given = dict(teacher.state_dict())
    if isinstance(student, LlamaGenStudent):
        given.pop("code_embed.weight")
    fresh = adopt(student, given)
    if isinstance(student, VARStudent):
        with torch.no_grad():
            for name, axis in SHIFTED.items():
                own, known = student.get_parameter(name), given[name]
                own.narrow(axis, 0, 1).copy_(known.narrow(axis, 0, 1))
                rest = known.shape[axis] - 1
                own.narrow(axis, 2, rest).copy_(known.narrow(axis, 1, rest))
    return fresh


def _own(config: Any) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in fields(config)}


def _code_width(teacher: Release) -> int:
    return int(getattr(tokenizer_of(teacher).config, "code_width"))  # noqa: B009
