"""Accelerators of the real protocol that change nothing: for tests of the table, the parser and the flags."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from genstudio.releases.release import Release
from genstudio.samplers.accelerators import ACCELERATORS, Site
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.plan import Plan
from genstudio.samplers.recipe import Recipe


class Toy:
    """Needs nothing and does nothing."""

    copies: ClassVar[int] = 0
    slack: ClassVar[int] = 0

    @property
    def companions(self) -> tuple[str, ...]:
        return ()

    def settled(self, release: Release) -> "Toy":
        return self

    def apply(self, plan: Plan) -> Plan:
        return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead(Toy):
    """Guesses codes ahead; exact unless it is told to be loose."""

    name: ClassVar[str] = "ahead"
    site: ClassVar[Site] = "walk"
    summary: ClassVar[str] = "guesses codes ahead"
    beside: ClassVar[frozenset[str]] = frozenset({"small"})
    window: Annotated[int, Field(ge=2, le=64)] = 16
    loose: bool = False
    share: float = 0.5
    draft: str | None = None

    def refusal(self, release: Release, others: tuple[str, ...]) -> str | None:
        return None if release.method == "var" else f"{release.method} makes no codes one by one"

    def label(self, recipe: Recipe) -> Exactness:
        if self.loose:
            return Exactness.LOSSY
        return Exactness.SAME_DISTRIBUTION if recipe.smooth else Exactness.EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Small(Toy):
    """A smaller cache."""

    name: ClassVar[str] = "small"
    site: ClassVar[Site] = "cache"
    summary: ClassVar[str] = "keeps fewer keys"
    beside: ClassVar[frozenset[str]] = frozenset()

    def refusal(self, release: Release, others: tuple[str, ...]) -> str | None:
        return None

    def label(self, recipe: Recipe) -> Exactness:
        return Exactness.LOSSY


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone(Small):
    """Goes with nobody."""

    name: ClassVar[str] = "alone"


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the table with toys alone, for one test."""
    for name in reversed(list(ACCELERATORS)):  # undone the other way round, which keeps their order
        monkeypatch.delitem(ACCELERATORS, name)  # type: ignore[arg-type]
    for kind in (Ahead, Small, Alone):
        monkeypatch.setitem(ACCELERATORS, kind.name, f"{__name__}:{kind.__name__}")  # type: ignore[arg-type]
