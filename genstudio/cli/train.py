"""`genstudio train`: train a tokenizer, a generator or a classifier from a recipe; resumable anywhere."""

from typing import Annotated

import typer

from genstudio.cli.complete import model_names, recipe_names
from genstudio.cli.options import Device, Json, Quiet
from genstudio.cli.training import (
    Batch,
    Board,
    Data,
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

Name = Annotated[
    str,
    typer.Argument(help="Name of a recipe of the program, or a TOML file.", autocompletion=recipe_names),
]
Tokenizer = Annotated[
    str | None, typer.Option("--tokenizer", help="Tokenizer of a generator.", autocompletion=model_names)
]


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
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train from a recipe; the same command goes on where a run stopped.

    genstudio train var-fashion

    genstudio train var-fashion --init var-fashion --data pictures/ --set network.classes=3 -o runs/mine

    torchrun --nproc-per-node 2 -m genstudio train var-fashion

    The folder holds metrics.jsonl, sample grids, a checkpoint, and at the end a model for `genstudio sample`.
    """
    from genstudio.training.recipe import read_recipe

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
    wanted = read_recipe(recipe, overrides(flags, settings))
    run_recipe(wanted, Ways(output, device, tensorboard, dry_run, json_, quiet))
