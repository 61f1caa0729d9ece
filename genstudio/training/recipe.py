"""A training recipe: everything that decides the numbers of a run, as one TOML file; flags override keys.

No torch here: `genstudio train --help` and mistakes in a recipe must answer at once. An unknown key is an
error that names the nearest valid one, so that a typing error never trains with a default instead.
"""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from genstudio.errors import GenstudioError
from genstudio.releases.release import Config, Protocol
from genstudio.samplers.recipe import Recipe
from genstudio.training.keys import nearest, unknown_key
from genstudio.training.objectives.settings import (
    Count,
    Objective,
    OfCodes,
    OfTeacher,
    Section,
    Share,
    Weight,
)

SEED_LIMIT = 2**31  # the epochs of a run are numbered above this in the same 63 bits
INDECISIVE = ("run.name", "run.shard", "data.source", "data.features")


class Run(Section):
    """The budget is `steps`, or `pictures` seen (rounded up to whole steps).

    `batch` pictures make one step of the optimizer, whatever the number of processes, read in `accumulate`
    passes. `ema` is the decay of the averaged weights that are released (0: none). `precision` bf16 means
    autocast around the losses alone. `shard` spreads the network, its gradients, average and optimizer over
    the processes instead of repeating them; alone it means nothing.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(default=0, ge=0, lt=SEED_LIMIT)
    steps: Count | None = None
    pictures: Count | None = None
    batch: Count
    accumulate: Count = 1
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    shard: bool = False
    init: str | None = None

    @model_validator(mode="after")
    def _one_budget(self) -> "Run":
        if (self.steps is None) == (self.pictures is None):
            raise ValueError("give either steps or pictures")
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} does not split into {self.accumulate} equal passes")
        return self

    @property
    def total(self) -> int:
        """Steps of the optimizer in the whole run."""
        return self.steps if self.steps is not None else -(-(self.pictures or 0) // self.batch)


class Data(Section):
    """`source` is what `genstudio.data.sources.open_pictures` understands, or teacher:N for N pictures that a
    teacher samples; `flip` mirrors half of them.

    `balance` evens out classes of unlike sizes: 0 shows every picture equally often, 1 every class, and 0.5
    shows a class of four times as many pictures twice as often. `features` is a file of `genstudio features`,
    whose prompts a teacher from text is asked for.
    """

    source: str
    pixels: Count
    channels: Literal[1, 3]
    flip: bool = False
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    features: str | None = None


class Tokenizer(Section):
    """The release, by name or folder, whose codes a generator learns."""

    release: str


class Teacher(Section):
    """The model, by name or folder, that a network is distilled from."""

    release: str


class Optimizer(Section):
    """AdamW; `warmup` is the share of the run during which lr rises, `final` the share of lr at its end.

    `linear` is VAR's schedule: flat for 5 % of what follows the warm-up, then straight down to `final`.
    """

    lr: Annotated[float, Field(gt=0)]
    betas: tuple[Share, Share] = (0.9, 0.95)
    weight_decay: Weight = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: Share = 0.0
    final: Share = 0.0


class Every(Section):
    """Do it every so many steps; 0: never (the end of a run always saves)."""

    every: int = Field(ge=0)


class Output(Section):
    """How the trained network is released: what `genstudio models show` prints, how it is stored, and how
    `genstudio eval-fid` scores it."""

    title: str
    licence: str | None = None
    source: str = "trained by genstudio"
    classes: str | None = None
    storage: Literal["float32", "bfloat16", "int8"] = "float32"
    protocol: Protocol | None = None


class TrainingRecipe(Section):
    """A whole recipe. What is not among its `numbers` may change when a run goes on."""

    run: Run
    data: Data
    network: Config
    tokenizer: Tokenizer | None = None
    teacher: Teacher | None = None
    objective: Objective
    optimizer: Optimizer
    release: Output
    sampling: Recipe = Recipe()
    save: Every = Every(every=500)
    sample: Every = Every(every=1000)
    log: Every = Every(every=50)

    @model_validator(mode="after")
    def _has_what_it_learns_from(self) -> "TrainingRecipe":
        if isinstance(self.objective, OfCodes) and self.tokenizer is None:
            raise ValueError(f"the objective {self.objective.kind} needs [tokenizer] release")
        if isinstance(self.objective, OfTeacher) != (self.teacher is not None):
            raise ValueError(f"[teacher] is for distilling, and the objective is {self.objective.kind}")
        return self

    def numbers(self) -> dict[str, Any]:
        """Every key that decides the trained weights, flat ("run.seed").

        Where data and tokenizer lie is not among them: the run compares what it reads by fingerprint. Nor is
        how processes split the work: it moves last bits alone.
        """
        decisive = {"run", "data", "network", "objective", "optimizer"}
        flat = dict(_flat(self.model_dump(mode="json", include=decisive)))
        return {key: value for key, value in flat.items() if key not in INDECISIVE}


def read_recipe(name: str, overrides: Iterable[tuple[str, Any]] = ()) -> TrainingRecipe:
    """The recipe called `name` in the package, or the TOML file at that path, with keys replaced.

    `overrides` are pairs of a dotted key and a value. Raises GenstudioError for an unknown recipe, unreadable
    TOML, an unknown key (naming the nearest valid one) and a value that does not fit.
    """
    return parse_recipe(read_tables(name, overrides))


def read_tables(name: str, overrides: Iterable[tuple[str, Any]] = ()) -> dict[str, Any]:
    """The tables of a recipe, with keys replaced, before they are checked. Raises as `read_recipe` does."""
    path = _locate(name)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GenstudioError(
            f"The recipe {name} is not valid TOML: {error}.", "Correct that line."
        ) from error
    for key, value in overrides:
        _replace(tables, key, value)
    return tables


def parse_recipe(tables: Mapping[str, Any]) -> TrainingRecipe:
    """Check tables of a recipe; raises GenstudioError naming the first key that is wrong."""
    if (wrong := unknown_key(TrainingRecipe, tables)) is not None:
        raise wrong
    try:
        return TrainingRecipe.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise GenstudioError(
            f"The recipe's {where} does not fit: {first['msg']}.", f"Correct {where} and start again."
        ) from error


def parse_setting(text: str) -> tuple[str, Any]:
    """A `section.key=value` of the command line; the value is read as TOML, else as a bare string."""
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise GenstudioError(f"--set {text} is no setting.", "Write it as section.key=value.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def recipe_names() -> list[str]:
    """Names of the recipes in the package."""
    found = (entry.name for entry in files("genstudio.training").joinpath("recipes").iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def _locate(name: str) -> Any:
    if name in recipe_names():
        return files("genstudio.training").joinpath("recipes", f"{name}.toml")
    if Path(name).is_file():
        return Path(name)
    near = nearest(name, recipe_names())
    raise GenstudioError(
        f"There is no recipe {name!r}, neither by name nor as a file.",
        f"Did you mean {near}?" if near else f"Known recipes: {', '.join(recipe_names())}.",
    )


def _replace(tables: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    table = tables
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise GenstudioError(f"The recipe's {part} is no table, so {key} cannot be set.", "Check --set.")
    table[last] = value
    if path == ["run"] and last in ("steps", "pictures"):
        table.pop("pictures" if last == "steps" else "steps", None)


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value
