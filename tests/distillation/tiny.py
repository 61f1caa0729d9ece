"""A small teacher with random weights and its tokenizer, and a recipe that distils a drafter in seconds."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from genstudio import registry
from genstudio.releases import weights
from genstudio.releases.release import Release
from genstudio.training.initial import initialise
from genstudio.training.recipe import TrainingRecipe, parse_recipe
from tests.training import tiny

TEACHER, TOKENIZER = "tiny-teacher", "tiny-grid"
DRAFTER: dict[str, Any] = {
    "run": {"name": "tiny-drafter", "seed": 3, "steps": 6, "batch": 4},
    "data": {"pixels": 32, "channels": 1, "flip": True},
    "network": {
        "kind": "drafter",
        "width": 32,
        "heads": 2,
        "hidden": 48,
        "vocab": 32,
        "side": 4,
        "condition_slots": 1,
    },
    "teacher": {"release": TEACHER},
    "objective": {"kind": "next_feature"},
    "optimizer": {"lr": 1e-3, "clip": 1.0},
    "release": {"title": "A tiny drafter"},
    "save": {"every": 2},
    "sample": {"every": 0},
    "log": {"every": 2},
}


def write_teacher(models: Path, name: str = TEACHER, **network: Any) -> Path:
    """Folders of a teacher and of its tokenizer below `models`; `network` replaces the teacher's numbers."""
    tables = deepcopy(tiny.LLAMAGEN)
    tables["network"] |= network
    tables["data"]["source"] = "nowhere"
    config = parse_recipe(tables).network
    grid = deepcopy(tiny.GRID_VQ)
    grid["data"]["source"] = "nowhere"
    for title, numbers, tokenizer in (
        (TOKENIZER, parse_recipe(grid).network, None),
        (name, config, f"../{TOKENIZER}"),
    ):
        built = initialise(registry.build(numbers, "cpu"), seed=1)
        if tokenizer:
            generator = torch.Generator().manual_seed(2)
            torch.nn.init.normal_(built.get_parameter("head.weight"), std=0.3, generator=generator)
        release = Release(
            name=title, title=title, config=numbers, licence=None, source="a test", tokenizer=tokenizer
        )
        weights.save_release(models / title, built, release)
    return models / name


def recipe(source: str, **changes: Any) -> TrainingRecipe:
    """The recipe on that source; `changes` are keys with "__" for the dot."""
    own = deepcopy(DRAFTER)
    own["data"]["source"] = source
    for key, value in changes.items():
        section, _, name = key.partition("__")
        own.setdefault(section, {})[name] = value
    return parse_recipe(own)
