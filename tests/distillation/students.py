"""A small VAR with random weights and its tokenizer, and recipes that distil students in seconds."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from genstudio import registry
from genstudio.distillation.filled import one_step_recipe
from genstudio.releases import weights
from genstudio.releases.release import Release
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe
from genstudio.training.initial import initialise
from genstudio.training.recipe import TrainingRecipe, parse_recipe
from tests.training import tiny

VAR_TEACHER, VAR_TOKENIZER = "tiny-scales", "tiny-pyramid"


def write_var_teacher(models: Path) -> Path:
    """Folders of a teacher and of its tokenizer below `models`."""
    for name, tables, tokenizer in (
        (VAR_TOKENIZER, deepcopy(tiny.VQ), None),
        (VAR_TEACHER, deepcopy(tiny.VAR), f"../{VAR_TOKENIZER}"),
    ):
        tables["data"]["source"] = "nowhere"
        numbers = parse_recipe(tables).network
        built = initialise(registry.build(numbers, "cpu"), seed=1)
        generator = torch.Generator().manual_seed(2)
        sharp = "head.weight" if tokenizer else "quantize.codebook.weight"
        torch.nn.init.normal_(built.get_parameter(sharp), std=0.5, generator=generator)
        law = Recipe(guidance=Guidance(cfg=1.0, ramp=Plus())) if tokenizer else Recipe()
        release = Release(
            name=name,
            title=name,
            config=numbers,
            licence=None,
            source="a test",
            tokenizer=tokenizer,
            recipe=law,
        )
        weights.save_release(models / name, built, release)
    return models / VAR_TEACHER


def recipe(teacher: str, pairs: int = 12, **changes: Any) -> TrainingRecipe:
    """A short run on that many pairs; `changes` are keys with "__" for the dot."""
    usual = {
        "data__source": f"teacher:{pairs}",
        "run__name": "tiny-student",
        "run__steps": 4,
        "run__batch": 4,
        "objective__solver": {"method": "heun", "steps": 6},
        "sampling__few": {"steps": 1, "turn": 2, "splits": [[1, 2]]},
        "save__every": 2,
        "sample__every": 0,
        "log__every": 2,
    }
    keys = {key.replace("__", "."): value for key, value in (usual | changes).items()}
    return one_step_recipe(None, teacher, keys.items())
