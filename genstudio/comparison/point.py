"""What was found for one setting: a value in one JSON file, from which tables, charts and pages come.

A finished point is a whole file: a comparison can be stopped anywhere, and makes nothing twice. No torch.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genstudio.errors import GenstudioError
from genstudio.files import write_text

DISTANCE = "frechet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number under its full name, with its 95 % interval and small-sample bias where they exist."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    bias: float | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Sampling time per picture over the batches of a point: median, first and third quartile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture for the grid: what was asked for, its class by name or its prompt, the PNG in base64."""

    label: int | None
    name: str
    seed: int
    png: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A setting and what it costs and gives.

    `times` are of sampling alone, without scoring, while other programs kept the share `busy` of the
    processors; `peak_bytes` is the most memory above that of the loaded
    models while a batch is sampled, None where it could not be told. `judge` is who chose among candidates;
    `digest` is one hash of all pictures; `held` is everything that is the same at all points.
    """

    key: str
    model: str
    name: str
    plain: bool
    label: str
    knobs: dict[str, float | int | bool | str | None]
    recipe: str
    judge: str | None
    samples: int
    times: Seconds
    busy: float
    peak_bytes: int | None
    scores: dict[str, Score]
    digest: str
    held: dict[str, Any]
    pictures: tuple[Shown, ...]

    @property
    def seconds(self) -> float:
        """The usual time per picture, by which points are compared."""
        return self.times.median

    @property
    def distance(self) -> float:
        """The Frechet distance, by which points are compared."""
        return self.scores[DISTANCE].value

    def save(self, path: Path) -> None:
        """Write the point, whole or not at all."""
        write_text(path, _adapter().dump_json(self, indent=1).decode() + "\n")


def load(path: Path) -> Point | None:
    """A finished point; None where there is none. Raises GenstudioError for a file that was changed."""
    if not path.is_file():
        return None
    try:
        return _adapter().validate_json(path.read_bytes())
    except ValidationError as error:
        raise GenstudioError(
            f"{path} is no point of a comparison.", "Remove it: it is made again."
        ) from error


@cache
def _adapter() -> TypeAdapter[Point]:
    return TypeAdapter(Point)
