"""What follows from points, under keys that stay the same whatever was compared."""

import csv
import io
import json
from pathlib import Path

import pytest

from genstudio.comparison.point import Point, load
from genstudio.comparison.report import Report
from genstudio.errors import GenstudioError
from tests.comparison.points import point

PLAIN = point("cfg 1", 1.0, 2.0, plain=True, label="baseline", knobs={"cfg": 1.0})
FAST = point("cfg 2", 0.5, 2.08, knobs={"cfg": 2.0}, judge="tiny-judge", label="lossy")
BEATEN = point("cfg 3", 1.005, 2.2, knobs={"cfg": 3.0})


def report(*points: Point, tolerance: float | None = 0.1) -> Report:
    return Report(points=points, total=4, varied=("cfg",), tolerance=tolerance, date="2026-11-24")


def test_json_says_what_follows() -> None:
    found = json.loads(json.dumps(report(PLAIN, FAST, BEATEN).as_dict()))
    assert found["front"] == ["cfg-2", "cfg-1"] and found["chosen"] == {"m": "cfg-2"}
    assert (found["finished"], found["total"]) == (3, 4)
    assert [one["speedup"] for one in found["points"]] == pytest.approx([1.0, 2.0, 1 / 1.005])
    assert [one["front"] for one in found["points"]] == [True, True, False]
    assert found["flattered"] and not found["blurred"]
    assert "pictures" not in found["points"][0]


def test_keys_do_not_depend_on_what_was_compared() -> None:
    many = report(PLAIN, FAST).as_dict()
    one = report(point("plain recipe", 1.0, 2.0), tolerance=None).as_dict()
    assert one.keys() == many.keys()
    assert one["points"][0].keys() == many["points"][0].keys()
    assert one["points"][0]["scores"].keys() == many["points"][0]["scores"].keys()
    assert one["points"][0]["scores"]["kid"] is None and one["points"][0]["speedup"] is None
    assert one["chosen"] == {}


def test_csv_has_a_line_per_point_under_fixed_headings() -> None:
    rows = list(csv.DictReader(io.StringIO(report(PLAIN, FAST).as_csv())))
    assert [row["setting"] for row in rows] == ["cfg 1", "cfg 2"]
    assert [float(row["distance"]) for row in rows] == [2.0, 2.08]
    assert rows[0]["distance_name"] == "Frechet distance-100 (tiny-judge)"
    assert (rows[0]["cfg"], rows[0]["kid"], rows[0]["peak_bytes"]) == ("1.0", "", "5000000")
    heading = report(point("plain recipe", 1.0, 2.0)).as_csv().splitlines()[0]
    assert heading == report(PLAIN, FAST).as_csv().splitlines()[0]
    assert heading.startswith("key,model,setting,recipe,judge,label,plain,front,chosen,samples,cfg,top_k")


def test_a_difference_within_the_spread_of_times_is_noise() -> None:
    found = report(PLAIN, FAST, BEATEN)
    assert found.noisy(BEATEN) and not found.noisy(FAST)


def test_a_point_survives_its_file(tmp_path: Path) -> None:
    FAST.save(tmp_path / "p.json")
    assert load(tmp_path / "p.json") == FAST
    assert load(tmp_path / "none.json") is None
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(GenstudioError, match=r"p\.json is no point"):
        load(tmp_path / "p.json")
