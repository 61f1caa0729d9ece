"""What the shell may offer behind TAB: models, classes, recipes. No torch: a key press must answer at once.

Mistakes on the line so far offer nothing; they are told when the command runs.
"""

import re
from collections.abc import Iterable

import typer

from genstudio.errors import GenstudioError

# Spelt so that no shell has to quote it; `-c` reads it with or without spaces and capitals.
PLAIN = re.compile(r"[\w./+-]+")


def model_names(incomplete: str) -> list[str]:
    """Every model by name; a shell offers folders itself where none fits."""
    from genstudio.releases.catalogue import names

    return _starting(incomplete, names())


def official_names(incomplete: str) -> list[str]:
    """Models that others published."""
    from genstudio.releases.catalogue import OFFICIAL

    return _starting(incomplete, OFFICIAL)


def recipe_names(incomplete: str) -> list[str]:
    """Training recipes of the program."""
    from genstudio.training import recipe

    return _starting(incomplete, recipe.recipe_names())


def accelerator_names(incomplete: str) -> list[str]:
    """Accelerators, whose settings a user writes behind a colon."""
    from genstudio.samplers.accelerators import ACCELERATORS

    return _starting(incomplete, ACCELERATORS)


def class_names(context: typer.Context, incomplete: str) -> list[str]:
    """Classes of the model on the line, or of the default one; behind a comma the next of a list."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _starting(last.casefold(), _classes(context))]


def _classes(context: typer.Context) -> list[str]:
    """Names that one class alone has; the others have to be given by their ids."""
    from genstudio.data.labels import names_of
    from genstudio.releases import catalogue

    # Behind an option that still lacks its value, the words before it are not parsed yet.
    model = context.params.get("model") or next(iter(context.args), None)
    try:
        release = catalogue.find(model) if model else catalogue.default()
        count = getattr(release.config, "classes", 0)
        names = [re.sub(r"\s+", "-", name.casefold()) for name in names_of(release.classes, count)]
    except GenstudioError:
        return []
    return [name for name in names if PLAIN.fullmatch(name) and names.count(name) == 1]


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
