"""`genstudio distill`: what learns from a model instead of pictures alone; and how such a job stands.

Errors are raised; `main` prints them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from genstudio.cli.complete import model_names, recipe_names
from genstudio.cli.console import emit, spell
from genstudio.cli.options import Device, Json, Quiet
from genstudio.cli.table import show_facts
from genstudio.cli.training import (
    Batch,
    Board,
    DryRun,
    Dtype,
    Init,
    Output,
    Rate,
    Seed,
    Set,
    Steps,
    Ways,
    overrides,
    run_recipe,
)
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genstudio.training.recipe import TrainingRecipe
    from genstudio.training.standing import Standing

    Fill = Callable[[str | None, str | None, Iterable[tuple[str, Any]]], TrainingRecipe]

distill = typer.Typer(
    help="Learn from a model: drafters that speed it up, students of one step.", rich_markup_mode=None
)

Teacher = Annotated[
    str | None,
    typer.Option("--teacher", help="The model, by name or folder.", autocompletion=model_names),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="A recipe by name or file; what it leaves out is the teacher's.",
        autocompletion=recipe_names,
    ),
]
Resume = Annotated[
    Path | None, typer.Option("--resume", help="Go on with the run in this folder, by the recipe it keeps.")
]
Lessons = Annotated[
    str | None,
    typer.Option("--data", help="teacher:N for N of its own samples, or pictures: fashion, emoji, a folder."),
]
Pairs = Annotated[
    str | None, typer.Option("--data", help="teacher:N for N pairs of noise and codes by the teacher.")
]
Features = Annotated[
    str | None,
    typer.Option("--features", help="Prompts of a teacher from text, a file by `genstudio features`."),
]
Run = Annotated[Path, typer.Argument(help="The folder of a run.")]


@distill.command()
def drafter(
    teacher: Teacher = None,
    config: Config = None,
    data: Lessons = None,
    features: Features = None,
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    seed: Seed = None,
    init: Init = None,
    settings: Set = None,
    output: Output = None,
    resume: Resume = None,
    device: Device = "auto",
    dtype: Dtype = None,
    tensorboard: Board = False,
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a drafter: a small network that continues a model's features, for --accel lantern.

    genstudio distill drafter --teacher llamagen-b-256 -o runs/drafter

    genstudio distill drafter --teacher runs/mine --data pictures/ --dry-run

    genstudio distill drafter --resume runs/drafter

    The same command goes on where a run stopped. The folder is a model: --accel lantern:drafter=FOLDER.
    """
    from genstudio.distillation.filled import drafter_recipe

    flags = _flags(data, steps, batch, lr, seed, init, dtype) | {"data.features": features}
    asked = Asked(config, teacher, flags, settings)
    _distil(drafter_recipe, asked, resume, Ways(output, device, tensorboard, dry_run, json_, quiet))


@distill.command("one-step")
def one_step(
    teacher: Teacher = None,
    config: Config = None,
    data: Pairs = None,
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    seed: Seed = None,
    init: Init = None,
    settings: Set = None,
    output: Output = None,
    resume: Resume = None,
    device: Device = "auto",
    dtype: Dtype = None,
    tensorboard: Board = False,
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a one-step student (Distilled Decoding): all codes of a picture at once, from noise.

    genstudio distill one-step --teacher var-fashion -o runs/student

    genstudio distill one-step --teacher llamagen-b-256 --data teacher:50000 --dry-run

    torchrun --nproc-per-node 2 -m genstudio distill one-step --teacher var-fashion

    First the teacher makes pairs of noise and codes, then the student learns them; the same command goes on
    where either stopped. The folder is a model: genstudio sample FOLDER --steps 1 or 2, or more with its
    teacher in between.
    """
    from genstudio.distillation.filled import one_step_recipe

    flags = _flags(data, steps, batch, lr, seed, init, dtype)
    asked = Asked(config, teacher, flags, settings)
    _distil(one_step_recipe, asked, resume, Ways(output, device, tensorboard, dry_run, json_, quiet))


@distill.command()
def status(run: Run, json_: Json = False) -> None:
    """Say how far a run is, whoever makes it, and what it says of itself.

    genstudio distill status runs/drafter

    genstudio distill status runs/drafter --json
    """
    from genstudio.training.standing import standing

    stands = standing(run)
    if json_:
        emit(_data(run, stands))
    else:
        show_facts(_facts(run, stands))


class Asked(NamedTuple):
    """What a command says of its recipe."""

    config: str | None
    teacher: str | None
    flags: dict[str, Any]
    settings: list[str] | None

    @property
    def anything(self) -> bool:
        """Whether it says something."""
        given = any(value is not None for value in self.flags.values())
        return bool(given or self.settings or self.teacher or self.config)


def _flags(
    data: str | None,
    steps: int | None,
    batch: int | None,
    lr: float | None,
    seed: int | None,
    init: str | None,
    dtype: str | None,
) -> dict[str, Any]:
    """Keys of a recipe that flags replace."""
    return {
        "data.source": data,
        "run.steps": steps,
        "run.batch": batch,
        "optimizer.lr": lr,
        "run.seed": seed,
        "run.init": init,
        "run.precision": dtype,
    }


def _distil(fill: "Fill", asked: Asked, resume: Path | None, ways: Ways) -> None:
    """Run what is asked for, or go on with the run in a folder."""
    if resume is None:
        return run_recipe(fill(asked.config, asked.teacher, overrides(asked.flags, asked.settings)), ways)
    from genstudio.training.standing import recipe_of

    if ways.output or asked.anything:
        raise GenstudioError(
            "--resume goes on with the recipe and the folder of a run.",
            "Give it alone, or the whole command of the run again.",
        )
    return run_recipe(recipe_of(resume), ways._replace(output=resume))


def _data(run: Path, stands: "Standing") -> dict[str, object]:
    recipe = stands.recipe
    return {
        "folder": str(run),
        "name": recipe.run.name,
        "objective": recipe.objective.kind,
        "teacher": recipe.teacher.release if recipe.teacher else None,
        "finished": stands.finished,
        "step": stands.step,
        "steps": recipe.run.total,
        "left_seconds": stands.left,
        "silent_seconds": stands.silent,
        "last": stands.record,
        "test": stands.test,
    }


def _facts(run: Path, stands: "Standing") -> dict[str, str]:
    recipe, record = stands.recipe, stands.record
    heard = f"last heard of {spell(stands.silent)} ago"
    state = "finished" if stands.finished else heard
    if stands.left and not stands.finished:
        state += f", {spell(stands.left)} left at {record['images_per_s']:g} images/s"
    losses = {**record, **stands.test}
    shown = {name: losses[name] for name in losses if name.startswith("test_") or name in ("loss", "overlap")}
    return {
        "run": f"{recipe.run.name}, {run}",
        "teacher": recipe.teacher.release if recipe.teacher else "none",
        "step": f"{stands.step} of {recipe.run.total}",
        "state": state,
        "says": ", ".join(f"{name} {value:.4g}" for name, value in shown.items()) or "nothing yet",
    }
