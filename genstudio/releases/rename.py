"""Official tensors to ours and back, from one table of name templates, strict both ways.

In a template `{n}` stands for a number and a closing `*` for any rest, so that one line serves all blocks.
Every official tensor is renamed, or follows from the architecture and is compared with what that implies (a
wrong list of scales shows), or is named as dropped; anything else is a misfit.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.releases.misfit import Misfit, Shapes, compare

Tensors = Mapping[str, Tensor]


class Rename(NamedTuple):
    """One line of a table. `also` are further official spellings that are read and never written."""

    ours: str
    official: str
    also: tuple[str, ...] = ()


class Derived(NamedTuple):
    """An official buffer that is no parameter of ours; `make` computes it for export.

    If `checked`, it follows from the architecture and must hold those very values. Otherwise (statistics of
    training) it is dropped on import.
    """

    official: str
    make: Callable[[], Tensor]
    checked: bool = True


class Table(NamedTuple):
    """All official names of one architecture."""

    renames: tuple[Rename, ...]
    derived: tuple[Derived, ...] = ()

    def ours(self, official: str) -> str | None:
        """Our name of an official parameter; None for a name that no line knows."""
        spelt = ((spelling, one.ours) for one in self.renames for spelling in (one.official, *one.also))
        return next((new for old, target in spelt if (new := _renamed(official, old, target))), None)

    def official(self, ours: str) -> str:
        """The official name of a tensor of ours. Raises KeyError for a name that no line knows."""
        for one in self.renames:
            if new := _renamed(ours, one.ours, one.official):
                return new
        raise KeyError(f"the table has no line for {ours}")


class Converted(NamedTuple):
    """Tensors under our names; buffers that held what they must; buffers that were dropped."""

    tensors: dict[str, Tensor]
    checked: tuple[str, ...]
    dropped: tuple[str, ...]


class UnfitError(GenstudioError):
    """Official tensors that are not those of the architecture; `misfit` speaks in official names."""

    def __init__(self, misfit: Misfit) -> None:
        hint = "Import it as the release that it is."
        super().__init__(f"The file does not fit: {misfit}.", hint, Exit.WEIGHTS)
        self.misfit = misfit


def from_official(official: Tensors, table: Table, expected: Shapes) -> Converted:
    """Rename the tensors of an official file; `expected` are our own names and shapes.

    Raises UnfitError unless every name, shape and derived value fits.
    """
    derived = {one.official: one for one in table.derived if one.official in official}
    checked = tuple(name for name, one in derived.items() if one.checked)
    renamed = {name: table.ours(name) for name in official if name not in derived}
    first = {ours: name for name, ours in reversed(renamed.items()) if ours}
    tensors = {ours: official[name] for ours, name in first.items()}
    spelt = {table.official(ours): tensor.shape for ours, tensor in tensors.items()}
    misfit = compare(spelt, {table.official(ours): shape for ours, shape in expected.items()})
    strange = tuple(name for name, ours in renamed.items() if not ours or first[ours] != name)
    different = tuple(name for name in checked if not _equal(official[name], derived[name].make()))
    if misfit or strange or different:
        unknown = (*strange, *misfit.unknown)
        raise UnfitError(replace(misfit, unknown=unknown, different=different))
    return Converted(tensors, checked, tuple(name for name, one in derived.items() if not one.checked))


def to_official(ours: Tensors, table: Table) -> dict[str, Tensor]:
    """The tensors of an official file, derived buffers included. Raises KeyError for a name of no line."""
    renamed = {table.official(name): tensor for name, tensor in ours.items()}
    return renamed | {one.official: one.make() for one in table.derived}


def _equal(found: Tensor, implied: Tensor) -> bool:
    """Equal values, infinities included; a mirror may store them in another number type."""
    return found.shape == implied.shape and torch.equal(found.to(implied.dtype), implied)


def _renamed(name: str, old: str, new: str) -> str | None:
    match = _pattern(old).fullmatch(name)
    if match is None:
        return None
    parts = match.groupdict()
    return new.replace("*", parts.pop("rest", "")).format(**parts)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    text = re.escape(template).replace(r"\*", "(?P<rest>.+)")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", text))
