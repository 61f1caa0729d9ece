"""All points of a comparison with what follows from them: fronts, speeds, the setting of equal quality.

JSON and CSV have the same keys whatever was compared; what has no value is null or empty. No torch.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from genstudio.comparison.pareto import blurred, front, matching, plain_of, surely_faster
from genstudio.comparison.point import DISTANCE, Point
from genstudio.comparison.settings import FIELDS

BUSY: Final = 0.1  # share of the processors, as in `genstudio bench`
SCORES: Final = (DISTANCE, "sfid", "is", "kid", "precision", "recall", "density", "coverage", "class_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`points` are the finished ones of `total`; `varied` names the fields that differ between them;
    `tolerance` is how much further than the plain recipe's a distance may be to count as equal."""

    total: int
    varied: tuple[str, ...]
    tolerance: float | None
    date: str
    points: tuple[Point, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """In the order of their points."""
        return tuple(dict.fromkeys(point.model for point in self.points))

    @property
    def title(self) -> str:
        """What is compared: "var-fashion, varying cfg"."""
        varying = f", varying {' and '.join(self.varied)}" if self.varied else ""
        return " and ".join(self.models) + varying

    @property
    def front(self) -> list[Point]:
        """The points that no other one beats in both time and distance."""
        return front(self.points)

    @property
    def chosen(self) -> dict[str, Point]:
        """By model, the fastest point of equal quality; none without a tolerance."""
        return {} if self.tolerance is None else matching(self.points, self.tolerance)

    @property
    def blurred(self) -> bool:
        """Whether the tolerance is finer than the intervals, so that chance may have chosen."""
        return self.tolerance is not None and blurred(self.points, self.tolerance)

    @property
    def busiest(self) -> float:
        """The largest share of the processors that other programs had while a point was made."""
        return max((point.busy for point in self.points), default=0.0)

    @property
    def disturbed(self) -> bool:
        """Whether other programs had so much of the machine that times cannot be relied on."""
        return self.busiest >= BUSY

    @property
    def flattered(self) -> bool:
        """Whether some pictures were chosen by the very network that scores them."""
        return any(point.judge == point.held["extractor"] for point in self.points)

    def speedup(self, point: Point) -> float | None:
        """How many times faster than the plain recipe of its model."""
        plain = plain_of(point, self.points)
        return plain.seconds / point.seconds if plain is not None and point.seconds > 0 else None

    def noisy(self, point: Point) -> bool:
        """Whether a difference in time to the plain recipe of its model may be the machine's noise."""
        plain = plain_of(point, self.points)
        return plain is not None and not surely_faster(point, plain) and not surely_faster(plain, point)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; pictures stay in the points' own files."""
        return {
            "title": self.title,
            "date": self.date,
            "finished": len(self.points),
            "total": self.total,
            "varied": list(self.varied),
            "tolerance": self.tolerance,
            "blurred": self.blurred,
            "flattered": self.flattered,
            "disturbed": self.disturbed,
            "held": self.points[0].held if self.points else {},
            "front": [point.key for point in self.front],
            "chosen": {model: point.key for model, point in self.chosen.items()},
            "points": [self._entry(point) for point in self.points],
        }

    def as_csv(self) -> str:
        """A line per point under fixed headings."""
        rows = [_line(entry) for entry in map(self._entry, self.points)]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _entry(self, point: Point) -> dict[str, Any]:
        scores = {name: asdict(point.scores[name]) if name in point.scores else None for name in SCORES}
        return {
            "key": point.key,
            "model": point.model,
            "setting": point.name,
            "knobs": {field: point.knobs.get(field) for field in FIELDS},
            "recipe": point.recipe,
            "judge": point.judge,
            "label": point.label,
            "plain": point.plain,
            "front": point in self.front,
            "chosen": point in self.chosen.values(),
            "samples": point.samples,
            "seconds_per_image": point.seconds,
            "seconds_low": point.times.low,
            "seconds_high": point.times.high,
            "busy": point.busy,
            "speedup": self.speedup(point),
            "peak_bytes": point.peak_bytes,
            "scores": scores,
            "digest": point.digest,
        }


FACTS: Final = ("key", "model", "setting", "recipe", "judge", "label", "plain", "front", "chosen", "samples")
COSTS: Final = ("seconds_per_image", "seconds_low", "seconds_high", "busy", "speedup", "peak_bytes")
COLUMNS: Final[Sequence[str]] = (
    *FACTS,
    *FIELDS,
    *COSTS,
    "distance_name",
    "distance_low",
    "distance_high",
    "distance_bias",
    *("distance" if name == DISTANCE else name for name in SCORES),
    "digest",
)


def _line(entry: dict[str, Any]) -> dict[str, Any]:
    distance = entry["scores"][DISTANCE]
    values = {name: score and score["value"] for name, score in entry["scores"].items() if name != DISTANCE}
    return {
        **{name: entry[name] for name in (*FACTS, *COSTS, "digest")},
        **entry["knobs"],
        **values,
        "distance": distance["value"],
        "distance_name": distance["label"],
        **{f"distance_{name}": distance[name] for name in ("low", "high", "bias")},
    }
