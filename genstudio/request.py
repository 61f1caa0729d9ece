"""What a user asks for, as a value: pictures (label or prompt, and seed), recipe, numbers of the run.

Picture i of `--seed s` has picture seed s + i, so that any picture can be made again alone. The `spec` of a
request is what a PNG carries and what `--from` reads back. No torch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from genstudio.edit import Edit, edit_from
from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.samplers.accelerators import Accelerator, describe, parse, promise
from genstudio.samplers.recipe import Recipe
from genstudio.selection import Selection

DEFAULT_PICTURES = 10


class Wanted(NamedTuple):
    """One picture: its class or its prompt (neither: of no condition), and its seed."""

    label: int | None
    seed: int
    prompt: str | None = None

    @classmethod
    def of(cls, subject: int | str | None, seed: int) -> "Wanted":
        """Of a class, a prompt, or neither."""
        return cls(None, seed, subject) if isinstance(subject, str) else cls(subject, seed)

    @property
    def subject(self) -> int | str | None:
        """Its class or its prompt."""
        return self.label if self.prompt is None else self.prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run: which pictures, by which recipe, in batches of which size.

    `keep` are positions in `pictures` that are wanted; the others only fill a batch up to the shape that made
    a picture first, because arithmetic may differ in the last bit between batch shapes. With a `selection`
    every picture is the best of several candidates, with an `edit` it keeps a part of a given one. `side` is
    what pictures are resized to before they become levels, as some scores are taken; None leaves them as they
    are made. Prompts are steered away from `negative`; `features` is the file that holds the features of them
    all. `accelerators` stand in the order in which they are applied. Raises GenstudioError where two pictures
    would share candidates.
    """

    model: str
    pictures: tuple[Wanted, ...]
    recipe: Recipe
    batch: int
    keep: tuple[int, ...] | None = None
    selection: Selection | None = None
    edit: Edit | None = None
    side: int | None = None
    negative: str | None = None
    features: Source | None = None
    accelerators: tuple[Accelerator, ...] = ()

    def __post_init__(self) -> None:
        if self.selection is not None:
            self.selection.check(self.pictures)

    def describe(self) -> str:
        """How the pictures are made, for people."""
        extras = [extra.describe() for extra in (self.selection, self.edit) if extra]
        if self.negative is not None:
            extras.append(f"away from {self.negative!r}")
        if self.accelerators:
            names = "+".join(map(describe, self.accelerators))
            extras.append(f"{names} ({promise(self.accelerators, self.recipe).words})")
        return ", ".join([self.recipe.describe(), *extras])

    @property
    def texts(self) -> tuple[str, ...]:
        """Every different text that has to be read."""
        texts = dict.fromkeys([*(one.prompt for one in self.pictures), self.negative])
        return tuple(text for text in texts if text is not None)

    def batches(self) -> list[range]:
        """Positions of the pictures that are sampled together."""
        count = len(self.pictures)
        return [range(start, min(start + self.batch, count)) for start in range(0, count, self.batch)]

    def kept(self, position: int) -> bool:
        """Whether the picture at that position is wanted."""
        return self.keep is None or position in self.keep


class Recorded(NamedTuple):
    """With what a stored run was made: number type, hashes of the weights, version of the draws."""

    dtype: str
    weights: dict[str, str]
    draws: int


def choose_pictures(
    subjects: Sequence[int | str | None] | None, count: int | None, seeds: str, classes: int
) -> tuple[Wanted, ...]:
    """Subjects (labels, prompts, None for neither), a count and `--seed` make the list of pictures.

    One seed s: `count` pictures of each subject, one after the other, picture i of the whole run with seed
    s + i. Several seeds (`1,5,9` or `0-63`): every subject with every seed. Without subjects, pictures are
    spread evenly over the classes, as many as `count` or as there are seeds.
    """
    numbers = parse_seeds(seeds)
    if len(numbers) == 1:
        return _from_one_seed(subjects, count, numbers[0], classes)
    if count is not None and count != len(numbers):
        raise GenstudioError(
            f"-n {count} and {len(numbers)} seeds contradict each other.", "Leave -n away, or give one seed."
        )
    if subjects is None:
        return tuple(map(Wanted, _spread(len(numbers), classes), numbers))
    return tuple(Wanted.of(subject, seed) for subject in subjects for seed in numbers)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`7`, `1,5,9`, `0-63` or a mixture; a minus in front of the first digit is a sign."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d+)(?:-(-?\d+))?\s*", part)
        if match is None:
            raise GenstudioError(
                f"--seed {text!r} is no seed.", "Give a number, a list 1,5,9 or a range 0-63."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or not -(2**63) <= first <= last < 2**63:
            raise GenstudioError(f"--seed {part!r} is no range of 64-bit numbers.", "Write it as 0-63.")
        seeds += range(first, last + 1)
    return tuple(seeds)


def spec(request: Request, rows: Mapping[int, Wanted], size: int, facts: dict[str, Any]) -> dict[str, Any]:
    """The whole run of pictures by the request's recipe, as a PNG carries it: `rows` are the pictures by
    their rows in batches of `size`."""
    return {
        "model": request.model,
        "pictures": [_facts(wanted) for wanted in rows.values()],
        "recipe": TypeAdapter(Recipe).dump_python(request.recipe, mode="json"),
        "batch": {"size": size, "rows": list(rows)},
        **({"edit": request.edit.facts()} if request.edit else {}),
        **({"side": request.side} if request.side else {}),
        **({"negative": request.negative} if request.negative is not None else {}),
        **({"features": asdict(request.features)} if request.features else {}),
        **_accelerated(request),
        **facts,
    }


def from_spec(data: dict[str, Any]) -> Request:
    """The request that makes those pictures again, in a batch of the same shape.

    Raises GenstudioError when the spec is not one of ours.
    """
    try:
        wanted = [_from_facts(*facts) for facts in data["pictures"]]
        size, rows = int(data["batch"]["size"]), [int(row) for row in data["batch"]["rows"]]
        recipe = TypeAdapter(Recipe).validate_python(data["recipe"])
        model, edit = str(data["model"]), edit_from(data.get("edit"))
        side = TypeAdapter(int | None).validate_python(data.get("side"))
        negative = TypeAdapter(str | None).validate_python(data.get("negative"))
        features = TypeAdapter(Source | None).validate_python(data.get("features"))
        accelerators = tuple(map(parse, data.get("accelerators", ())))
        places = dict(zip(rows, wanted, strict=True))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise _foreign() from error
    total = max(size, max(rows) + 1)
    pictures = tuple(places.get(row, wanted[0]) for row in range(total))
    return Request(
        model=model,
        pictures=pictures,
        recipe=recipe,
        batch=size,
        keep=tuple(rows),
        edit=edit,
        side=side,
        negative=negative,
        features=features,
        accelerators=accelerators,
    )


def recorded(data: dict[str, Any]) -> Recorded:
    """What else the pixels of a stored run depend on. Raises GenstudioError when the spec is not ours."""
    try:
        return Recorded(str(data["dtype"]), dict(data["weights"]), int(data["draws"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _foreign() from error


def _foreign() -> GenstudioError:
    return GenstudioError(
        "The run in this file cannot be read.", "It was written by another version of genstudio."
    )


def _facts(wanted: Wanted) -> list[int | str | None]:
    """A picture of a class needs no third entry, and had none before there were prompts."""
    return [wanted.label, wanted.seed] if wanted.prompt is None else list(wanted)


def _from_facts(label: int | None, seed: int, prompt: str | None = None) -> Wanted:
    return Wanted(None if label is None else int(label), int(seed), None if prompt is None else str(prompt))


def _accelerated(request: Request) -> dict[str, Any]:
    if not request.accelerators:
        return {}
    label = promise(request.accelerators, request.recipe).label
    return {"accelerators": [describe(one) for one in request.accelerators], "exactness": label}


def _from_one_seed(
    subjects: Sequence[int | str | None] | None, count: int | None, seed: int, classes: int
) -> tuple[Wanted, ...]:
    if count is not None and count < 1:
        raise GenstudioError(f"-n {count} asks for no picture.", "Give 1 or more.")
    if subjects is None:
        subjects, count = _spread(count or DEFAULT_PICTURES, classes), 1
    each = [subject for subject in subjects for _ in range(count or 1)]
    return tuple(Wanted.of(subject, seed + i) for i, subject in enumerate(each))


def _spread(count: int, classes: int) -> list[int]:
    """`count` labels, ascending and evenly over all classes."""
    return [i * classes // count for i in range(count)]
