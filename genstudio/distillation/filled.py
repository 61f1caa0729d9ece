"""Recipes of drafters that say nothing of their teacher's numbers: these are filled in from its release."""

from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Final

from genstudio.distillation.drafting import check_teacher
from genstudio.errors import GenstudioError
from genstudio.releases import catalogue
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Release
from genstudio.training.recipe import TrainingRecipe, parse_recipe, read_tables

ALIKE: Final = ("width", "heads", "hidden", "vocab", "side", "rope_base")


def drafter_recipe(
    config: str | None, teacher: str | None, overrides: Iterable[tuple[str, Any]] = ()
) -> TrainingRecipe:
    """The recipe called `config`, or the usual one, for a `teacher`, with keys replaced.

    Raises GenstudioError where no teacher is named, for one that cannot be drafted for, and for what
    `read_recipe` refuses.
    """
    name = config or str(files("genstudio.distillation").joinpath("recipes", "drafter.toml"))
    named = [("teacher.release", teacher)] if teacher else []
    tables = read_tables(name, [*named, *overrides])
    if tables.get("objective", {}).get("kind") != "next_feature":
        raise GenstudioError(f"{name} is no recipe of a drafter.", 'Its objective.kind is "next_feature".')
    if not tables.get("teacher", {}).get("release"):
        raise GenstudioError("No teacher is named.", "Give --teacher MODEL, a name or a folder.")
    release = catalogue.find(tables["teacher"]["release"])
    check_teacher(release)
    return parse_recipe(_filled(tables, release))


def _filled(tables: dict[str, Any], teacher: Release) -> dict[str, Any]:
    """Tables with the teacher's numbers where they hold none: a drafter is as wide, and mostly one block
    deep."""
    numbers, pictures = asdict(teacher.generator), tokenizer_of(teacher).config
    implied: dict[str, dict[str, Any]] = {
        "run": {"name": f"{teacher.name}-drafter"},
        "data": {
            "pixels": getattr(pictures, "pixels", None),
            "channels": getattr(pictures, "channels", None),
        },
        "network": {
            "kind": "drafter",
            **{name: numbers[name] for name in ALIKE},
            "condition_slots": getattr(teacher.config, "condition_slots", None),
        },
        "release": {
            "title": f"Drafter for {teacher.name}",
            "licence": teacher.licence,
            "source": f"genstudio distill drafter --teacher {teacher.name}",
        },
    }
    return {**tables, **{name: {**table, **tables.get(name, {})} for name, table in implied.items()}}
