"""What a run would take, tried out: some steps of the very loop, on this machine, leaving nothing behind.

Formulas of memory and time rot with every objective; steps do not. Codes that are not there yet are
stood in for by those of a few pictures, repeated: as many, of the same shapes.
"""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from genstudio.distillation.prepare import prepare_taught
from genstudio.measure.memory import PeakMemory
from genstudio.processes import Processes
from genstudio.training.loop import Loop, Watch
from genstudio.training.prepare import Say, prepare
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.rehearsal import Rehearsal

TRIED: Final = 4  # steps, of which the first one warms up
BYTES: Final = {"float32": 4, "bfloat16": 2, "int8": 1}


class Trial(NamedTuple):
    """Seconds of the whole run and of a step, and before the first step; peak bytes of memory beside the
    program; bytes on the disk: two checkpoints while one replaces the other, codes, and the `model`."""

    steps: int
    seconds: float
    step_seconds: float
    before_seconds: float
    memory: int
    disk: int
    model: int
    parameters: int


def try_out(recipe: TrainingRecipe, device: torch.device, say: Say) -> Trial:
    """Prepare and make a few steps. Raises GenstudioError for whatever the run would be refused for."""
    rehearsal = Rehearsal()
    with PeakMemory(device) as peak:
        prepared = (prepare_taught if recipe.teacher else prepare)(
            recipe, device, say, Processes(), rehearsal
        )
        nowhere = Path("nowhere")  # holds no checkpoint, and steps alone write none
        loop = Loop(recipe, prepared.objective, nowhere, device, Watch(say=say), weight_N=prepared.weight_N)
        seconds = [_timed(loop, device) for _ in range(min(TRIED, recipe.run.total))]
    each, steps = median(seconds[1:] or seconds), recipe.run.total
    numbers = sum(value.numel() for value in prepared.objective.network.state_dict().values())
    model = numbers * BYTES[recipe.release.storage]
    return Trial(
        steps=steps,
        seconds=round(steps * each + rehearsal.seconds, 1),
        step_seconds=each,
        before_seconds=round(rehearsal.seconds, 1),
        memory=peak.bytes,
        disk=2 * _bytes(loop.learner.state()) + rehearsal.disk + model,
        model=model,
        parameters=sum(value.numel() for value in prepared.objective.network.parameters()),
    )


def _timed(loop: Loop, device: torch.device) -> float:
    started = perf_counter()
    loop.advance()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - started


def _bytes(state: Any) -> int:
    return sum(value.nbytes for value in tree_leaves(state) if isinstance(value, Tensor))
