"""From a recipe to a release: prepare, train, and write the folder that `genstudio sample` takes."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genstudio.data.labels import labels
from genstudio.distillation.prepare import prepare_taught
from genstudio.files import write_text
from genstudio.media.grid import grid
from genstudio.media.pixels import to_uint8
from genstudio.media.png import save_png
from genstudio.processes import Processes
from genstudio.releases import weights
from genstudio.releases.release import Distilled, PixelRule, Release, Trained
from genstudio.training import metrics
from genstudio.training.loop import Loop, Status, Watch
from genstudio.training.prepare import Say, prepare
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.standing import RECIPE

PER_ROW = 8


class Summary(NamedTuple):
    """What a finished run has to say for itself."""

    folder: str
    steps: int
    minutes: float
    losses: dict[str, Any]
    test: dict[str, float]


def train(
    recipe: TrainingRecipe,
    folder: Path,
    device: torch.device,
    *,
    processes: Processes = Processes(),
    tensorboard: bool = False,
    begin: Callable[[int], None] = lambda _: None,
    report: Callable[[Status], None] = lambda _: None,
    say: Say = lambda _: None,
) -> Summary:
    """Train what the recipe describes, or go on where `folder` holds a checkpoint of the same recipe.

    `say` hears of what happens before the first step, `begin` at which step this is, `report` of every step
    made. Several `processes` train one network on the same steps; the first one writes everything. Raises
    GenstudioError for whatever does not fit.
    """
    board = metrics.tensorboard() if tensorboard else None
    prepared = (prepare_taught if recipe.teacher else prepare)(recipe, device, say, processes)
    watch = Watch(report, say, write_grid, board)
    loop = Loop(recipe, prepared.objective, folder, device, watch, processes, prepared.weight_N)
    begin(loop.step)
    if processes.first:
        write_text(folder / RECIPE, recipe.model_dump_json(indent=2) + "\n")
    test = loop.run()
    cost = replace(_cost(recipe, loop, device, processes), counts=prepared.counts)
    release = replace(as_release(recipe, folder, prepared.classes), trained=cost)
    release = replace(release, distilled=_as_seen_from(folder, prepared.distilled))
    network = loop.learner.released()
    if processes.first:
        weights.save_release(folder, network, release, recipe.release.storage)
    processes.wait()
    return Summary(str(folder), loop.step, round(loop.seconds / 60, 2), loop.record, test)


def as_release(recipe: TrainingRecipe, folder: Path, classes: tuple[str, ...]) -> Release:
    """The release that a finished run writes; a tokenizer in a folder is named as seen from `folder`.

    Where the recipe names a label set that is not the one of the pictures, the pictures' `classes` are kept.
    """
    out = recipe.release
    return Release(
        name=recipe.run.name,
        title=out.title,
        config=recipe.network,
        licence=out.licence,
        source=out.source,
        tokenizer=_from(folder, recipe.tokenizer.release) if recipe.tokenizer else None,
        recipe=recipe.sampling,
        classes=_class_names(recipe, classes),
        protocol=out.protocol,
    )


def _as_seen_from(folder: Path, distilled: Distilled | None) -> Distilled | None:
    return replace(distilled, teacher=_from(folder, distilled.teacher)) if distilled else None


def _from(folder: Path, name: str) -> str:
    """A name, or the path of the folder that it means, as seen from `folder`."""
    return os.path.relpath(Path(name).resolve(), folder.resolve()) if Path(name).is_dir() else name


def _cost(recipe: TrainingRecipe, loop: Loop, device: torch.device, processes: Processes) -> Trained:
    threads = torch.get_num_threads()
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else f"{device.type}, {threads} threads"
    return Trained(
        recipe=recipe.run.name,
        pictures=loop.step * recipe.run.batch,
        minutes=round(loop.seconds / 60, 1),
        device=name if processes.count == 1 else f"{processes.count} x {name}",
    )


def _class_names(recipe: TrainingRecipe, classes: tuple[str, ...]) -> str | tuple[str, ...] | None:
    if not hasattr(recipe.network, "classes"):
        return None
    named = recipe.release.classes
    return named if named is not None and labels(named) == classes else classes


def write_grid(path: Path, x_BCHW: Tensor) -> None:
    """Write pictures in [-1, 1] as one PNG, eight to a row."""
    save_png(path, grid(to_uint8(x_BCHW, PixelRule()).cpu(), PER_ROW))
