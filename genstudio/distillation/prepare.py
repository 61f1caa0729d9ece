"""Which preparation belongs to which objective that learns from a teacher."""

from collections.abc import Callable, Mapping
from typing import Final

import torch

from genstudio.distillation.drafting import prepare_drafter
from genstudio.processes import Processes
from genstudio.training.prepare import Prepared, Say
from genstudio.training.recipe import TrainingRecipe

Prepare = Callable[[TrainingRecipe, torch.device, Say, Processes], Prepared]

TAUGHT: Final[Mapping[str, Prepare]] = {"next_feature": prepare_drafter}


def prepare_taught(
    recipe: TrainingRecipe, device: torch.device, say: Say, processes: Processes = Processes()
) -> Prepared:
    """The objective of a recipe with a teacher. Raises GenstudioError for whatever does not fit."""
    return TAUGHT[recipe.objective.kind](recipe, device, say, processes)
