"""What `train` and `distill` share: options, one run of a recipe with its progress, and its last words."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from genstudio.cli.complete import model_names
from genstudio.cli.console import Meter, emit, note, spell
from genstudio.cli.table import show_facts
from genstudio.errors import GenstudioError
from genstudio.processes import Processes

if TYPE_CHECKING:
    import torch

    from genstudio.training.recipe import TrainingRecipe
    from genstudio.training.run import Summary
    from genstudio.training.trial import Trial

Data = Annotated[str | None, typer.Option("--data", help="fashion, emoji, or a folder of class/file.")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Steps of the optimizer.")]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Pictures per step.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of weights, order and drops.")]
Init = Annotated[
    str | None,
    typer.Option("--init", help="Fine-tune this model (name or folder).", autocompletion=model_names),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any key: section.key=value; repeatable.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Folder [default: runs/NAME].")]
Dtype = Annotated[str | None, typer.Option("--dtype", help="fp32 or bf16 (autocast).")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard files (extra tb).")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Try some steps, say what the run would take; write nothing.")
]


class Ways(NamedTuple):
    """How a run is run, beside its recipe."""

    output: Path | None
    device: str
    tensorboard: bool
    dry_run: bool
    json: bool
    quiet: bool


def overrides(flags: dict[str, Any], settings: Sequence[str] | None) -> list[tuple[str, Any]]:
    """Keys of a recipe that flags and --set replace; --set has the last word."""
    from genstudio.training.recipe import parse_setting

    given = [(key, value) for key, value in flags.items() if value is not None]
    return [*given, *map(parse_setting, settings or [])]


def run_recipe(recipe: "TrainingRecipe", ways: Ways) -> None:
    """Run it, or say what it would take. The first of several processes speaks."""
    from genstudio.runtime import Runtime

    processes, device = Processes.of_this_run(), Runtime.choose(ways.device).torch_device
    folder = ways.output or Path("runs") / recipe.run.name
    if ways.dry_run:
        return _try(recipe, folder, device, ways)
    summary = _run(recipe, folder, device, ways, processes)
    processes.leave()
    if not processes.first:
        return None
    if ways.json:
        return emit(summary._asdict())
    return _say(summary)


def _run(
    recipe: "TrainingRecipe", folder: Path, device: "torch.device", ways: Ways, processes: Processes
) -> "Summary":
    from genstudio.training import run

    quiet, batch = ways.quiet or ways.json or not processes.first, recipe.run.batch
    note(f"{recipe.run.name}: {recipe.run.total} steps on {device}, into {folder}", quiet)
    with Meter(recipe.run.name, recipe.run.total * batch, quiet) as meter:
        return run.train(
            recipe,
            folder,
            device,
            processes=processes,
            tensorboard=ways.tensorboard,
            begin=lambda step: meter.skip(step * batch),
            report=lambda status: meter.reach(status.step * batch),
            say=lambda text: note(text, quiet),
        )


def _try(recipe: "TrainingRecipe", folder: Path, device: "torch.device", ways: Ways) -> None:
    from genstudio.training.trial import try_out

    if Processes.of_this_run().count > 1:
        raise GenstudioError("A dry run is one process.", "Start it without torchrun.")
    trial = try_out(recipe, device, lambda text: note(text, ways.quiet or ways.json))
    if ways.json:
        return emit({"dry_run": True, "folder": str(folder), "device": str(device), **trial._asdict()})
    return show_facts(_facts(trial, folder, device))


def _facts(trial: "Trial", folder: Path, device: "torch.device") -> dict[str, str]:
    from genstudio.releases.places import size_text

    return {
        "would write": str(folder),
        "time": f"{spell(trial.seconds)} on {device}: {trial.steps} steps of {trial.step_seconds:.3g} s, "
        f"{spell(trial.before_seconds)} before them",
        "memory": f"{size_text(trial.memory)} beside the program",
        "disk": f"{size_text(trial.disk)}, of which the model {size_text(trial.model)}",
        "parameters": f"{trial.parameters:,}",
    }


def _say(summary: "Summary") -> None:
    losses = {name: value for name, value in summary.losses.items() if name in ("loss", "accuracy")}
    print(f"{summary.folder}: {summary.steps} steps in {summary.minutes} minutes")
    print(", ".join(f"{name} {_short(value)}" for name, value in {**losses, **summary.test}.items()))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
