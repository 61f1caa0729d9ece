"""Which preparation belongs to which objective that learns from a teacher."""

from collections.abc import Callable, Mapping
from typing import Final

import torch

from genstudio.distillation.drafting import prepare_drafter
from genstudio.distillation.one_step import prepare_one_step
from genstudio.processes import Processes
from genstudio.training.prepare import Prepared, Say
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.rehearsal import Rehearsal

Prepare = Callable[[TrainingRecipe, torch.device, Say, Processes, Rehearsal | None], Prepared]

TAUGHT: Final[Mapping[str, Prepare]] = {"next_feature": prepare_drafter, "one_step": prepare_one_step}


def prepare_taught(
    recipe: TrainingRecipe,
    device: torch.device,
    say: Say,
    processes: Processes = Processes(),
    rehearsal: Rehearsal | None = None,
) -> Prepared:
    """The objective of a recipe with a teacher; a `rehearsal` leaves nothing on the disk.

    Raises GenstudioError for whatever does not fit.
    """
    return TAUGHT[recipe.objective.kind](recipe, device, say, processes, rehearsal)
