"""`genstudio train`: train a tokenizer, a generator or a classifier from a recipe; resumable anywhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.complete import model_names, recipe_names
from genstudio.cli.console import Meter, emit, note
from genstudio.cli.options import Device, Json, Quiet
from genstudio.processes import Processes

if TYPE_CHECKING:
    from genstudio.training.recipe import TrainingRecipe
    from genstudio.training.run import Summary

Name = Annotated[
    str,
    typer.Argument(help="Name of a recipe of the program, or a TOML file.", autocompletion=recipe_names),
]
Data = Annotated[str | None, typer.Option("--data", help="fashion, emoji, or a folder of class/file.")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Steps of the optimizer.")]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Pictures per step.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of weights, order and drops.")]
Init = Annotated[
    str | None,
    typer.Option("--init", help="Fine-tune this model (name or folder).", autocompletion=model_names),
]
Tokenizer = Annotated[
    str | None, typer.Option("--tokenizer", help="Tokenizer of a generator.", autocompletion=model_names)
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any key: section.key=value; repeatable.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Folder [default: runs/NAME].")]
Dtype = Annotated[str | None, typer.Option("--dtype", help="fp32 or bf16 (autocast).")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard files (extra tb).")]


def train(
    recipe: Name,
    data: Data = None,
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    seed: Seed = None,
    init: Init = None,
    tokenizer: Tokenizer = None,
    settings: Set = None,
    output: Output = None,
    device: Device = "auto",
    dtype: Dtype = None,
    tensorboard: Board = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train from a recipe; the same command goes on where a run stopped.

    genstudio train var-fashion

    genstudio train var-fashion --init var-fashion --data pictures/ --set network.classes=3 -o runs/mine

    torchrun --nproc-per-node 2 -m genstudio train var-fashion

    The folder holds metrics.jsonl, sample grids, a checkpoint, and at the end a model for `genstudio sample`.
    """
    from genstudio.training.recipe import parse_setting, read_recipe

    flags = {
        "data.source": data,
        "run.steps": steps,
        "run.batch": batch,
        "optimizer.lr": lr,
        "run.seed": seed,
        "run.init": init,
        "tokenizer.release": tokenizer,
        "run.precision": dtype,
    }
    asked = [(key, value) for key, value in flags.items() if value is not None]
    wanted = read_recipe(recipe, [*asked, *map(parse_setting, settings or [])])
    processes = Processes.of_this_run()
    folder, silent = output or Path("runs") / wanted.run.name, quiet or json_ or not processes.first
    summary = _run(wanted, folder, device, tensorboard, silent, processes)
    processes.leave()
    if not processes.first:
        return
    if json_:
        emit(summary._asdict())
    else:
        _say(summary)


def _run(
    recipe: "TrainingRecipe", folder: Path, device: str, tensorboard: bool, quiet: bool, processes: Processes
) -> "Summary":
    from genstudio.runtime import Runtime
    from genstudio.training import run

    chosen, batch = Runtime.choose(device).torch_device, recipe.run.batch
    note(f"{recipe.run.name}: {recipe.run.total} steps on {chosen}, into {folder}", quiet)
    with Meter(recipe.run.name, recipe.run.total * batch, quiet) as meter:
        return run.train(
            recipe,
            folder,
            chosen,
            processes=processes,
            tensorboard=tensorboard,
            begin=lambda step: meter.skip(step * batch),
            report=lambda status: meter.reach(status.step * batch),
            say=lambda text: note(text, quiet),
        )


def _say(summary: "Summary") -> None:
    losses = {name: value for name, value in summary.losses.items() if name in ("loss", "accuracy")}
    print(f"{summary.folder}: {summary.steps} steps in {summary.minutes} minutes")
    print(", ".join(f"{name} {_short(value)}" for name, value in {**losses, **summary.test}.items()))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
