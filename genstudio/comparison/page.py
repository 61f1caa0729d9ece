"""One HTML file that says everything about a comparison: no script, no font and no picture from elsewhere.

The template and its style lie beside this module; charts are drawn by `charts`, pictures are data: URIs.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

from jinja2 import Environment, StrictUndefined

from genstudio.comparison.charts import Chart, Line, Mark
from genstudio.comparison.point import Point
from genstudio.comparison.report import Report
from genstudio.comparison.settings import said

SHARES: Final = ("precision", "recall", "density", "coverage", "class_share")
COLUMNS: Final = ("sfid", "is", "kid", *SHARES)
TITLES: Final = {"sfid": "sFID", "is": "IS", "kid": "KID", "class_share": "class share"}
CURVE: Final = 3  # values of a field from which on a curve says more than the table
BANDS: Final = 3  # lines up to which their intervals can be told apart


class Figure(NamedTuple):
    """A chart with its heading, what one sees in it, and the names of its lines."""

    heading: str
    caption: str
    svg: str
    legend: list[tuple[str, int]]


def page(report: Report) -> str:
    """The whole page of a comparison with one finished point or more."""
    folder = files("genstudio.comparison")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= FILTERS
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    columns = [name for name in COLUMNS if any(name in point.scores for point in report.points)]
    return template.render(
        report=report,
        style=(folder / "page.css").read_text(encoding="utf-8"),
        figures=[_times(report), *_curves(report)],
        columns=columns,
        shares=SHARES,
        peaks=any(point.peak_bytes is not None for point in report.points),
        held=_held(report),
        cell=_cell_size(report),
    )


def _times(report: Report) -> Figure:
    """Time against distance, with the front."""
    unit, per = ("ms", 1e3) if max(point.seconds for point in report.points) < 1 else ("s", 1.0)
    marks = [
        _mark(report, point, point.seconds * per)._replace(
            left=point.times.low * per, right=point.times.high * per, number=row + 1
        )
        for row, point in enumerate(report.points)
    ]
    chart = Chart.around(f"sampling time, {unit} a picture", "distance", marks)
    if len(report.points) > 1:
        chart.stairs([(point.seconds * per, point.distance) for point in report.front])
    for mark in marks:
        chart.mark(mark)
    legend = [(model, series) for series, model in enumerate(report.models)]
    return Figure(
        "Time and distance",
        "Lower left is better. Dashed: the front, which no other setting beats in both. Bars: 95 % "
        "intervals of the distance, quartiles of the time. Numbers: rows of the table. Ring: plain recipe.",
        chart.text(),
        legend if len(legend) > 1 else [],
    )


def _curves(report: Report) -> list[Figure]:
    """For every field with enough values: the distance over it, and the shares where there is one line."""
    figures = []
    for name in report.varied:
        values = {point.knobs[name] for point in report.points}
        if len(values) < CURVE or not all(map(_is_number, values)):
            continue
        groups = _groups(report, name)
        figures.append(_distances(report, name, groups))
        if len(groups) == 1:
            figures += _shares(name, groups[0][1])
    return figures


def _distances(report: Report, name: str, groups: list[tuple[str, list[Point]]]) -> Figure:
    lines = [
        Line(title, series, [_mark(report, point, _value(point, name), series) for point in points])
        for series, (title, points) in enumerate(groups)
    ]
    chart = Chart.around(name, "distance", [mark for line in lines for mark in line.marks])
    if len(lines) <= BANDS:
        for line in lines:
            chart.band(line)
    for line in lines:
        chart.line(line)
    legend = [(line.name, line.series) for line in lines] if len(lines) > 1 else []
    bands = " Band: 95 % interval." if len(lines) <= BANDS else ""
    return Figure(
        f"Distance over {name}", f"Lower is better.{bands} Ring: plain recipe.", chart.text(), legend
    )


def _shares(name: str, points: list[Point]) -> list[Figure]:
    """Precision, recall and class share over a field: what guidance buys, and what it pays."""
    shown = [share for share in ("precision", "recall", "class_share") if share in points[0].scores]
    if not shown:
        return []
    lines = [
        Line(_title(share), series, [_share_mark(point, name, share, series) for point in points])
        for series, share in enumerate(shown)
    ]
    chart = Chart.around(name, "share", [mark for line in lines for mark in line.marks])
    for line in lines:
        chart.line(line)
    legend = [(line.name, line.series) for line in lines]
    return [Figure(f"{_listed(legend)} over {name}", "Higher is better.", chart.text(), legend)]


def _groups(report: Report, name: str) -> list[tuple[str, list[Point]]]:
    """Points that differ in one field alone, in its order, by the name of what they share."""
    others = [field for field in report.varied if field != name]
    groups: dict[str, list[Point]] = {}
    for point in report.points:
        shared = [f"{field} {said(point.knobs[field])}" for field in others]
        models = [point.model] if len(report.models) > 1 else []
        groups.setdefault(", ".join([*models, *shared]), []).append(point)
    return [(title, sorted(points, key=lambda one: _value(one, name))) for title, points in groups.items()]


def _mark(report: Report, point: Point, x: float, series: int | None = None) -> Mark:
    score = point.scores["frechet"]
    return Mark(
        x=x,
        y=score.value,
        title=f"{point.model}, {point.name}: distance {_number(score.value)}, {_seconds(point.seconds)}",
        series=report.models.index(point.model) if series is None else series,
        low=score.low,
        high=score.high,
        ring=point.plain,
        halo=point in report.chosen.values(),
    )


def _share_mark(point: Point, name: str, share: str, series: int) -> Mark:
    value = point.scores[share].value
    title = f"{_title(share)} {_number(value)} at {point.name}"
    return Mark(_value(point, name), value, title, series, ring=point.plain)


def _held(report: Report) -> dict[str, str]:
    """What was the same for all points, in words."""
    return {name.replace("_", " "): _said(value) for name, value in report.points[0].held.items()}


def _cell_size(report: Report) -> int:
    """Pixels on the page of one picture in the grid."""
    return 80 if len(report.points[0].pictures) > 8 else 96


def _value(point: Point, name: str) -> float:
    """A field that `_is_number` was true of."""
    value = point.knobs[name]
    assert isinstance(value, int | float)
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(legend: Sequence[tuple[str, int]]) -> str:
    names = [name for name, _ in legend]
    return (", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]).capitalize()


def _title(name: str) -> str:
    return TITLES.get(name, name)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _megabytes(value: int | None) -> str:
    return "" if value is None else f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


FILTERS: Final = {
    "number": _number,
    "share": _share,
    "bytes": _megabytes,
    "seconds": _seconds,
    "heading": _title,
}


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
