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
    """One line of a table. `also` are further official spellings that are read and never written.

    Where several official tensors are one of ours, `parts` are the words that `{part}` stands for, in the
    order in which they follow each other along the first axis; each has an equal share of it.
    """

    ours: str
    official: str
    also: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def spelt(self, template: str) -> tuple[str, ...]:
        """An official template, once for each part."""
        return tuple(template.replace("{part}", part) for part in self.parts) or (template,)


class Derived(NamedTuple):
    """An official buffer that is no parameter of ours; `make` computes it for export.

    If `checked`, it follows from the architecture and must hold those very values. Otherwise (statistics of
    training) it is dropped on import.
    """

    official: str
    make: Callable[[], Tensor]
    checked: bool = True


class Table(NamedTuple):
    """All official names of one architecture. `scratch` are templates of what a run may leave in a file, in
    any shape: dropped where it is there, never written."""

    renames: tuple[Rename, ...]
    derived: tuple[Derived, ...] = ()
    scratch: tuple[str, ...] = ()

    def is_scratch(self, official: str) -> bool:
        """Whether an official name means nothing to a network."""
        return any(_pattern(template).fullmatch(official) for template in self.scratch)

    def known(self, official: str) -> str | None:
        """An official name as it is written, whichever way it is spelt; None for one that no line knows."""
        for one in self.renames:
            for template in (one.official, *one.also):
                for spelt, written in zip(one.spelt(template), one.spelt(one.official), strict=True):
                    if name := _renamed(official, spelt, written):
                        return name
        return None

    def official(self, ours: str) -> tuple[str, ...]:
        """The official names of a tensor of ours, one for each part of it. Raises KeyError for a name that no
        line knows."""
        for one in self.renames:
            names = [_renamed(ours, one.ours, written) for written in one.spelt(one.official)]
            if found := tuple(name for name in names if name):
                return found
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
    scratch = tuple(name for name in official if table.is_scratch(name))
    known = {name: table.known(name) for name in official if name not in (*derived, *scratch)}
    first = {written: name for name, written in reversed(known.items()) if written}
    strange = tuple(name for name, written in known.items() if not written or first[written] != name)
    found = {written: official[name] for written, name in first.items()}
    misfit = compare({name: tensor.shape for name, tensor in found.items()}, _shapes(table, expected))
    different = tuple(name for name in checked if not _equal(official[name], derived[name].make()))
    if misfit or strange or different:
        unknown = (*strange, *misfit.unknown)
        raise UnfitError(replace(misfit, unknown=unknown, different=different))
    tensors = {ours: _joined([found[name] for name in table.official(ours)]) for ours in expected}
    unchecked = tuple(name for name, one in derived.items() if not one.checked)
    return Converted(tensors, checked, (*unchecked, *scratch))


def to_official(ours: Tensors, table: Table) -> dict[str, Tensor]:
    """The tensors of an official file, derived buffers included. Raises KeyError for a name of no line."""
    official: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        names = table.official(name)
        parts = tensor.chunk(len(names)) if len(names) > 1 else (tensor,)
        official |= dict(zip(names, parts, strict=True))
    return official | {one.official: one.make() for one in table.derived}


def _shapes(table: Table, expected: Shapes) -> dict[str, tuple[int, ...]]:
    """Official names and shapes of all our tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for ours, shape in expected.items():
        names = table.official(ours)
        part = (shape[0] // len(names), *shape[1:]) if len(names) > 1 else tuple(shape)
        shapes |= dict.fromkeys(names, part)
    return shapes


def _joined(parts: list[Tensor]) -> Tensor:
    """One part stays the very tensor, mapped to its file."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


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
