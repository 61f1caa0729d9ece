"""Where a run stands, as its folder tells: the recipe it was started with and the lines of its metrics.

No torch: `genstudio distill status` has to answer at once, and while another process trains.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genstudio.errors import Exit, GenstudioError
from genstudio.releases.catalogue import RELEASE
from genstudio.training.recipe import TrainingRecipe, parse_recipe

RECIPE: Final = "recipe.json"
METRICS: Final = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Standing:
    """`record` is the last line of the metrics that has a rate; `test` what the end says; `left` and `silent`
    are seconds: until the end at the speed of that line, and since the last sign of life."""

    recipe: TrainingRecipe
    step: int
    record: dict[str, Any]
    test: dict[str, float]
    finished: bool
    left: float | None
    silent: float


def standing(folder: Path) -> Standing:
    """Read a run's folder. Raises GenstudioError where there is no run."""
    recipe = recipe_of(folder)
    metrics = folder / METRICS
    records = _records(metrics)
    steps = [record for record in records if "lr" in record]
    last = steps[-1] if steps else {}
    tests = [record for record in records if "lr" not in record]
    test = {name: value for name, value in (tests[-1] if tests else {}).items() if name != "step"}
    step = int(last.get("step", 0))
    speed = last.get("images_per_s")
    left = (recipe.run.total - step) * recipe.run.batch / speed if speed else None
    touched = (metrics if metrics.is_file() else folder / RECIPE).stat().st_mtime
    finished = bool(tests) and (folder / RELEASE).is_file()
    return Standing(recipe, step, last, test, finished, left, max(0.0, time.time() - touched))


def recipe_of(folder: Path) -> TrainingRecipe:
    """The recipe that a run was started with. Raises GenstudioError where the folder holds none."""
    path = folder / RECIPE
    try:
        tables = json.loads(path.read_bytes())
    except OSError as error:
        hint = "Give the folder of a run, its --output."
        raise GenstudioError(f"{folder} holds no run: there is no {RECIPE}.", hint) from error
    except json.JSONDecodeError as error:
        hint = "Give the command of the run once more: it writes the file anew."
        raise GenstudioError(f"{path} is damaged.", hint, Exit.WEIGHTS) from error
    return parse_recipe(_stated(tables))


def _stated(tables: dict[str, Any]) -> dict[str, Any]:
    """Tables without the keys that stand for nothing."""
    return {
        key: _stated(value) if isinstance(value, dict) else value
        for key, value in tables.items()
        if value is not None
    }


def _records(path: Path) -> list[dict[str, Any]]:
    """The lines of the metrics; the last one may be cut short."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
