"""Recipes that say nothing of their teacher's numbers: these are filled in from its release."""

from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from genstudio import registry
from genstudio.distillation.drafting import check_teacher
from genstudio.distillation.students import student_config
from genstudio.errors import GenstudioError
from genstudio.generators.base import Generator
from genstudio.releases import catalogue
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Release
from genstudio.samplers.recipe import Recipe
from genstudio.training.recipe import TrainingRecipe, parse_recipe, read_tables


class Learner(NamedTuple):
    """What learns, the objective that it learns by, and its usual recipe."""

    name: str
    objective: str
    recipe: str


DRAFTER: Final = Learner("drafter", "next_feature", "drafter.toml")
ONE_STEP: Final = Learner("one-step student", "one_step", "one-step.toml")
ALIKE: Final = ("width", "heads", "hidden", "vocab", "side", "rope_base")


def drafter_recipe(
    config: str | None, teacher: str | None, overrides: Iterable[tuple[str, Any]] = ()
) -> TrainingRecipe:
    """The recipe called `config`, or the usual one, for a `teacher`, with keys replaced.

    Raises GenstudioError where no teacher is named, for one that cannot be drafted for, and for what
    `read_recipe` refuses.
    """
    tables, release = _opened(config, DRAFTER, teacher, overrides)
    check_teacher(release)
    numbers = asdict(release.generator)
    implied: dict[str, dict[str, Any]] = {
        "run": {"name": f"{release.name}-drafter"},
        "network": {
            "kind": "drafter",
            **{name: numbers[name] for name in ALIKE},
            "condition_slots": getattr(release.config, "condition_slots", None),
        },
        "release": {
            "title": f"Drafter for {release.name}",
            "source": f"genstudio distill drafter --teacher {release.name}",
        },
    }
    return parse_recipe(_filled(tables, release, implied))


def one_step_recipe(
    config: str | None, teacher: str | None, overrides: Iterable[tuple[str, Any]] = ()
) -> TrainingRecipe:
    """The same for a one-step student. Where nothing is said the second step begins half-way through the
    units, and codes end there, as with the students of VAR that were published.

    Raises GenstudioError as `drafter_recipe` does, and for a teacher that can have no student.
    """
    tables, release = _opened(config, ONE_STEP, teacher, overrides)
    student = student_config(release)
    turn = _turn(release)
    few = {"steps": 1, "turn": turn, "splits": [[1, turn]]}
    law = TypeAdapter(Recipe).dump_python(release.recipe, mode="json", exclude_none=True)
    implied: dict[str, dict[str, Any]] = {
        "run": {"name": f"{release.name}-dd"},
        "network": asdict(student),
        "tokenizer": {"release": release.tokenizer},
        "objective": {"timesteps": [0, tables.get("sampling", {}).get("few", few)["turn"]]},
        "sampling": {**law, "few": few},
        "release": {
            "title": f"One-step student of {release.name}",
            "source": f"genstudio distill one-step --teacher {release.name}",
            "classes": release.classes if isinstance(release.classes, str) else None,
            "protocol": release.protocol and asdict(release.protocol),
        },
    }
    return parse_recipe(_filled(tables, release, implied))


def _opened(
    config: str | None, wanted: Learner, teacher: str | None, overrides: Iterable[tuple[str, Any]]
) -> tuple[dict[str, Any], Release]:
    """The tables of a recipe, and the release of the teacher that it names."""
    name = config or str(files("genstudio.distillation").joinpath("recipes", wanted.recipe))
    named = [("teacher.release", teacher)] if teacher else []
    tables = read_tables(name, [*named, *overrides])
    if tables.get("objective", {}).get("kind") != wanted.objective:
        raise GenstudioError(
            f"{name} is no recipe of a {wanted.name}.", f'Its objective.kind is "{wanted.objective}".'
        )
    if not tables.get("teacher", {}).get("release"):
        raise GenstudioError("No teacher is named.", "Give --teacher MODEL, a name or a folder.")
    return tables, catalogue.find(tables["teacher"]["release"])


def _filled(tables: dict[str, Any], teacher: Release, implied: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Tables with what is implied where they say nothing; its pictures and its licence are the teacher's."""
    pictures = tokenizer_of(teacher).config
    sizes = {"pixels": getattr(pictures, "pixels", None), "channels": getattr(pictures, "channels", None)}
    implied = {**implied, "data": sizes, "release": {"licence": teacher.licence, **implied["release"]}}
    return {**tables, **{name: {**table, **tables.get(name, {})} for name, table in implied.items()}}


def _turn(teacher: Release) -> int:
    """Half of the teacher's units."""
    network = registry.build(teacher.config)
    assert isinstance(network, Generator)
    return len(network.order.units()) // 2
