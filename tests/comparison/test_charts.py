"""Charts: whole ticks, every mark inside of its frame, text escaped."""

from xml.etree.ElementTree import fromstring

import pytest

from genstudio.comparison.charts import HEIGHT, WIDTH, Axis, Chart, Line, Mark, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0, 4.2, (0, 1, 2, 3, 4)),
        (-0.03, 0.01, (-0.03, -0.02, -0.01, 0, 0.01)),
        (980, 2040, (1000, 1500, 2000)),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_an_axis_holds_one_value_and_equal_ones() -> None:
    for values in ([3.0], [3.0, 3.0], [0.0], [-2.0, -2.0]):
        axis = Axis.over("x", values, 10, 110)
        assert all(10 <= axis.at(value) <= 110 for value in values)
        assert axis.ticks


def test_everything_lies_inside_of_the_frame() -> None:
    marks = [Mark(0.1, 5.0, "a", low=2.0, high=9.0), Mark(0.9, 1.0, "b", left=0.8, right=1.3, halo=True)]
    chart = Chart.around("time", "distance", marks)
    chart.stairs([(0.1, 5.0), (0.9, 1.0)])
    chart.line(Line("one", 7, marks))
    chart.band(Line("one", 7, [one._replace(low=1.0, high=9.0) for one in marks]))
    for mark in marks:
        chart.mark(mark)
    root = fromstring(chart.text())
    names = {"x1", "x2", "cx", "x"}, {"y1", "y2", "cy", "y"}
    for element in root.iter():
        for limit, group in zip((WIDTH, HEIGHT), names, strict=True):
            assert all(0 <= float(element.attrib[name]) <= limit for name in group & element.attrib.keys())
    assert len(root.findall(".//circle[@class='halo']")) == 2
    assert len(root.findall(".//polyline[@class='front']")) == 1


def test_text_is_escaped() -> None:
    mark = Mark(1, 2, '<script>alert("&")</script>')
    chart = Chart.around("<x>", "&y", [mark])
    chart.mark(mark)
    assert "<script>" not in chart.text()
    assert fromstring(chart.text()).find(".//title").text == mark.title  # type: ignore[union-attr]
