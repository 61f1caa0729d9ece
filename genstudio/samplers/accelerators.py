"""Accelerators as values: `--accel NAME:key=value,...` read, refused or labelled before anything loads.

An accelerator changes how a release is sampled at one of four places and carries a promise (`exactness`). Its
class is a frozen dataclass: the fields are its settings, each with a default, so that `NAME` alone means
something. What one does is written where it acts; this module knows names, settings and who goes with whom.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, cast, get_args

from genstudio.errors import GenstudioError
from genstudio.samplers.exactness import Exactness, weakest
from genstudio.samplers.recipe import Recipe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from genstudio.releases.release import Release
    from genstudio.samplers.plan import Plan

Site = Literal["release", "recipe", "cache", "walk"]
SITES: Final[tuple[Site, ...]] = get_args(Site)  # the order in which they are applied

# Names and their classes as strings, imported when asked for. A class stands in a module without torch.
_DRAFTING: Final = "genstudio.samplers.speculate.settings"
ACCELERATORS: Final[Mapping[str, str]] = {
    "jacobi": f"{_DRAFTING}:Jacobi",
    "sjd": f"{_DRAFTING}:SJD",
    "spectr": f"{_DRAFTING}:SpecTr",
    "lantern": f"{_DRAFTING}:Lantern",
    "cspd": "genstudio.samplers.speculate.continuous_settings:CSpD",
}


class Accelerator(Protocol):
    """Settings of one accelerator. `beside` names those that it was shown to work with: a pair that neither
    side names is refused. `companions` are the releases whose weights it needs as well; `copies` of the cache
    of each live at once. `slack` is how much room a cache needs beyond the slots of the order."""

    name: ClassVar[str]
    site: ClassVar[Site]
    summary: ClassVar[str]
    beside: ClassVar[frozenset[str]]

    @property
    def companions(self) -> tuple[str, ...]: ...
    @property
    def copies(self) -> int: ...
    @property
    def slack(self) -> int: ...

    def refusal(self, release: "Release", others: tuple[str, ...]) -> str | None:
        """Why it cannot be used with a release by its recipe, beside `others`, as half a sentence; None where
        it can."""
        ...

    def settled(self, release: "Release") -> "Accelerator":
        """The same with what was left to the release filled in: what a picture's metadata has to say."""
        ...

    def label(self, recipe: Recipe) -> Exactness:
        """What its pictures promise, with these settings, by that recipe."""
        ...

    def apply(self, plan: "Plan") -> "Plan":
        """The plan with its own part in place of one; imports what it needs."""
        ...


def choose_accelerators(
    release: "Release", texts: Sequence[str], recipe: Recipe | None = None
) -> tuple[Accelerator, ...]:
    """What several `--accel` mean for a release by a recipe (its own without one), settled, in the order in
    which they are applied.

    Raises GenstudioError for unknown names, settings that mean nothing, one that the release does not take,
    and two that do not go together.
    """
    chosen = tuple(sorted(map(parse, texts), key=lambda one: SITES.index(one.site)))
    for one, other in combinations(chosen, 2):
        _check_pair(one, other)
    sampled = release if recipe is None else replace(release, recipe=recipe)
    for one in chosen:
        others = tuple(other.name for other in chosen if other is not one)
        if (why := one.refusal(sampled, others)) is not None:
            raise GenstudioError(
                f"{one.name} does not take {release.name}: {why}.",
                "What takes what: genstudio models --accel.",
            )
    return tuple(one.settled(release) for one in chosen)


def check_companions(accelerators: Sequence[Accelerator]) -> None:
    """Raises GenstudioError (exit code 3) where weights that they need are not on this machine."""
    from genstudio.releases import catalogue
    from genstudio.releases.places import resolve

    for one in accelerators:
        for name in one.companions:
            resolve(catalogue.find(name))


def parse(text: str) -> Accelerator:
    """`NAME` or `NAME:key=value,key=value`. Raises GenstudioError for what means nothing."""
    name, colon, rest = text.strip().partition(":")
    kind = _kind(name)
    given: dict[str, str] = {}
    for part in rest.split(",") if colon else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in given:
            raise GenstudioError(
                f"--accel {text!r} is no list of settings.",
                "Write it as NAME:key=value,key=value, each once.",
            )
        given[key] = value
    return _made(kind, given)


def describe(accelerator: Accelerator) -> str:
    """With all settings that it has, as `parse` reads it: "sjd:window=16"."""
    given = {key: value for key, value in settings_of(accelerator).items() if value is not None}
    settings = ",".join(f"{key}={_said(value)}" for key, value in given.items())
    return f"{accelerator.name}:{settings}" if settings else accelerator.name


def settings_of(accelerator: Accelerator) -> dict[str, Any]:
    """Its settings by name."""
    names = [field.name for field in fields(cast("DataclassInstance", accelerator))]
    return {_public(name): getattr(accelerator, name) for name in names}


def promise(accelerators: Sequence[Accelerator], recipe: Recipe) -> Exactness:
    """What a run promises that uses all of these: the weakest of their labels."""
    return weakest(one.label(recipe) for one in accelerators)


def every() -> list[Accelerator]:
    """All accelerators, with their usual settings."""
    return [_kind(name)() for name in ACCELERATORS]


def _kind(name: str) -> "type[Accelerator]":
    if name not in ACCELERATORS:
        near = difflib.get_close_matches(name, ACCELERATORS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(ACCELERATORS)}."
        raise GenstudioError(f"There is no accelerator {name!r}.", hint)
    module, _, kind = ACCELERATORS[name].partition(":")
    return cast("type[Accelerator]", getattr(import_module(module), kind))


def _made(kind: "type[Accelerator]", given: Mapping[str, str]) -> Accelerator:
    from pydantic import TypeAdapter, ValidationError  # the options of every --help need the table alone

    known = {_public(field.name): field.name for field in fields(cast("type[DataclassInstance]", kind))}
    if unknown := [key for key in given if key not in known]:
        hint = f"Its settings are: {', '.join(known)}." if known else "It has none."
        raise GenstudioError(f"{kind.name} has no setting {unknown[0]!r}.", hint)
    try:
        return TypeAdapter(kind).validate_python({known[key]: value for key, value in given.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = _public(".".join(map(str, first["loc"]))) or "a setting"
        raise GenstudioError(
            f"--accel {kind.name}: {key} = {given.get(key)!r} cannot be.", f"{first['msg']}."
        ) from error


def _check_pair(one: Accelerator, other: Accelerator) -> None:
    if one.name == other.name:
        raise GenstudioError(f"--accel {one.name} is given twice.", "Give it once.")
    if other.name not in one.beside and one.name not in other.beside:
        raise GenstudioError(
            f"{one.name} and {other.name} were never shown to work together.", "Give one of them."
        )


def _public(field: str) -> str:
    """A setting whose name is a word of the language has an underscore behind it: `lambda_`."""
    return field.removesuffix("_")


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
