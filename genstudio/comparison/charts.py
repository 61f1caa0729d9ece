"""Charts as inline SVG, drawn here: no script, no font, no network. Colours are classes of the page's style.

Coordinates are those of the view box; the page scales it to its width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

WIDTH, HEIGHT = 540, 330
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 18, 46
TICKS: Final = 5
SERIES: Final = 6  # colours of the page


class Mark(NamedTuple):
    """A point of a chart.

    `low`..`high` is its interval in y, `left`..`right` that in x; `number` is its row in the table, `title`
    what hovering says; `ring` marks the plain recipe, `halo` the chosen one.
    """

    x: float
    y: float
    title: str
    series: int = 0
    low: float | None = None
    high: float | None = None
    left: float | None = None
    right: float | None = None
    number: int | None = None
    ring: bool = False
    halo: bool = False


class Line(NamedTuple):
    """Marks joined in the order given; `name` stands in the legend."""

    name: str
    series: int
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear scale from values to pixels, wide enough for whole ticks."""

    name: str
    low: float
    high: float
    ticks: tuple[float, ...]
    start: float
    stop: float

    @classmethod
    def over(cls, name: str, values: Iterable[float], start: float, stop: float) -> "Axis":
        """Around all values, with a little room; from 0 where the values are not far from it."""
        found = list(values)
        low, high = min(found), max(found)
        low = 0.0 if 0 <= low < 0.35 * high else low
        room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        low, high = (low if low == 0 else low - room), high + room
        return cls(name=name, low=low, high=high, ticks=ticks(low, high), start=start, stop=stop)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


@dataclass(frozen=True, slots=True)
class Chart:
    """A frame with two axes, into which lines and marks are drawn; later ones lie above."""

    x: Axis
    y: Axis
    root: Element = field(default_factory=lambda: Element("svg"))

    @classmethod
    def around(cls, x_name: str, y_name: str, marks: Sequence[Mark]) -> "Chart":
        """A chart whose axes hold all of the marks with their intervals."""
        heights = [value for one in marks for value in (one.y, one.low, one.high) if value is not None]
        widths = [value for one in marks for value in (one.x, one.left, one.right) if value is not None]
        x = Axis.over(x_name, widths, LEFT, WIDTH - RIGHT)
        y = Axis.over(y_name, heights, HEIGHT - BOTTOM, TOP)
        chart = cls(x, y)
        chart.root.attrib |= {
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "role": "img",
            "aria-label": f"{y_name} against {x_name}",
            "class": "chart",
        }
        chart._frame()
        return chart

    def mark(self, mark: Mark) -> None:
        """A dot with its interval and number."""
        x, y = self.x.at(mark.x), self.y.at(mark.y)
        group = self._group(mark.series)
        SubElement(group, "title").text = mark.title
        if mark.low is not None and mark.high is not None:
            _line(group, "interval", x, self.y.at(mark.low), x, self.y.at(mark.high))
        if mark.left is not None and mark.right is not None:
            _line(group, "interval", self.x.at(mark.left), y, self.x.at(mark.right), y)
        if mark.halo:
            _circle(group, "halo", x, y, 10)
        _circle(group, "ring" if mark.ring else "dot", x, y, 5)
        if mark.number is not None:
            _text(group, str(mark.number), x + 9, y - 7, "number")

    def band(self, line: Line) -> None:
        """The intervals of a line's marks as one area, where all of them have one."""
        bounds = [(one.x, one.low, one.high) for one in line.marks]
        upper = [(x, high) for x, _, high in bounds if high is not None]
        lower = [(x, low) for x, low, _ in bounds if low is not None]
        if len(upper) == len(lower) == len(bounds):
            corners = self._path(upper + lower[::-1])
            SubElement(self._group(line.series), "polygon", {"class": "band", "points": corners})

    def line(self, line: Line) -> None:
        """Marks joined, without their intervals."""
        corners = self._path((one.x, one.y) for one in line.marks)
        SubElement(self._group(line.series), "polyline", {"class": "line", "points": corners})
        for one in line.marks:
            self.mark(one._replace(low=None, high=None))

    def stairs(self, corners: Sequence[tuple[float, float]]) -> None:
        """The border of what the points of a front beat: right of and above it, every point is beaten."""
        path = [(corners[0][0], self.y.high)]
        for (x, y), (next_x, _) in zip(corners, [*corners[1:], (self.x.high, 0.0)], strict=True):
            path += [(x, y), (next_x, y)]
        SubElement(self.root, "polyline", {"class": "front", "points": self._path(path)})

    def text(self) -> str:
        """The SVG, to stand inside of a page."""
        return tostring(self.root, encoding="unicode")

    def _group(self, series: int) -> Element:
        return SubElement(self.root, "g", {"class": f"series-{series % SERIES}"})

    def _path(self, corners: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in corners)

    def _frame(self) -> None:
        for value in self.y.ticks:
            y = self.y.at(value)
            _line(self.root, "rule", LEFT, y, WIDTH - RIGHT, y)
            _text(self.root, f"{value:g}", LEFT - 8, y + 4, "tick end")
        for value in self.x.ticks:
            x = self.x.at(value)
            _line(self.root, "stub", x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5)
            _text(self.root, f"{value:g}", x, HEIGHT - BOTTOM + 19, "tick middle")
        _line(self.root, "axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM)
        _text(self.root, self.x.name, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "name middle")
        name = _text(self.root, self.y.name, 0, 0, "name middle")
        name.set("transform", f"translate(14 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)")


def ticks(low: float, high: float) -> tuple[float, ...]:
    """About five round values (1, 2 or 5 times a power of ten apart) within low..high."""
    raw = (high - low) / TICKS
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return tuple(round(k * step, 12) for k in range(ceil(low / step), floor(high / step) + 1))


def _line(parent: Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    SubElement(parent, "line", {"class": kind, **{name: f"{value:.1f}" for name, value in ends.items()}})


def _circle(parent: Element, kind: str, x: float, y: float, radius: float) -> None:
    SubElement(parent, "circle", {"class": kind, "cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:g}"})


def _text(parent: Element, text: str, x: float, y: float, kind: str) -> Element:
    element = SubElement(parent, "text", {"class": kind, "x": f"{x:.1f}", "y": f"{y:.1f}"})
    element.text = text
    return element
