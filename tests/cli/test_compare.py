"""`genstudio compare` from flags to a page: the same seeds at every point, nothing made twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genstudio.comparison import run
from genstudio.errors import Exit
from genstudio.evaluation.shards import Shards
from genstudio.studio import Studio
from tests.support import Ran, genstudio

COUNT = 44


@pytest.fixture
def scored(tiny_judge: str, tmp_path: Path) -> tuple[object, ...]:
    """Flags that say by what the tiny model's pictures are scored."""
    levels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", arr_0=levels)
    path = tmp_path / "real.safetensors"
    ran = genstudio("eval-fid", tmp_path / "real.npz", "--extractor", tiny_judge, "--save-stats", path)
    assert ran.code == Exit.OK, ran.err
    return "--extractor", tiny_judge, "--reference", path, "-n", COUNT, "--batch", 11


def compared(*arguments: object) -> dict[str, Any]:
    ran = genstudio("compare", *arguments, "--json")
    assert ran.code == Exit.OK, ran.err + ran.out
    return ran.data


def without_times(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What does not depend on the machine's mood."""
    measured = ("seconds", "busy", "speedup", "peak", "front", "chosen")
    return [
        {name: value for name, value in one.items() if not name.startswith(measured)}
        for one in report["points"]
    ]


def test_a_grid_of_settings_becomes_a_page(tiny_var: str, scored: tuple, tmp_path: Path) -> None:
    folder = tmp_path / "o"
    flags = ("--vary", "cfg=0,1.5,3", "--vary", "top_k=8,32", "--match", 1000)
    report = compared(tiny_var, *flags, *scored, "-o", folder)
    names = [one["setting"] for one in report["points"]]
    assert names == [f"cfg {cfg}, top_k {k}" for cfg in ("0", "1.5", "3") for k in (8, 32)]
    assert [one["plain"] for one in report["points"]] == [False, False, False, True, False, False]
    assert report["held"]["seeds"] == "0 to 43" and report["held"]["batch"] == 11
    assert all(one["seconds_per_image"] > 0 and one["samples"] == COUNT for one in report["points"])
    assert len({one["digest"] for one in report["points"]}) == 6
    fastest = min(report["points"], key=lambda one: one["seconds_per_image"])
    assert report["chosen"] == {tiny_var: fastest["key"]}
    assert all(Path(name).is_file() for name in report["files"])
    stored = json.loads((folder / "report.json").read_text())
    assert {**stored, "files": report["files"]} == report
    assert len((folder / "report.csv").read_text().splitlines()) == 7
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == 6 * 10
    assert sorted(path.suffix for path in (folder / "points").iterdir()) == [".json"] * 6


def test_the_numbers_are_those_of_eval_fid(tiny_var: str, scored: tuple, tmp_path: Path) -> None:
    report = compared(tiny_var, "--vary", "cfg=3", *scored, "-o", tmp_path / "o")
    for point, flags in zip(report["points"], ((), ("--cfg", 3)), strict=True):
        alone = genstudio("eval-fid", tiny_var, *scored, *flags, "--json").data
        assert alone["digest"] == point["digest"]
        assert alone["metrics"]["frechet"]["value"] == point["scores"]["frechet"]["value"]


def test_the_same_seeds_are_shown_for_every_point(tiny_var: str, scored: tuple, tmp_path: Path) -> None:
    compared(tiny_var, "--vary", "best_of=1,3", "--judge", "tiny-judge", *scored, "-o", tmp_path, "--seed", 5)
    points = [run.load(path) for path in (tmp_path / "points").glob("*.json")]
    asked = [[(one.label, one.seed) for one in point.pictures] for point in points if point]
    assert asked == [[(i % 10, 5 + i) for i in range(10)]] * 2
    pictures = [[one.png for one in point.pictures] for point in points if point]
    assert pictures[0] != pictures[1]


def test_what_chose_and_scores_at_once_is_told(tiny_var: str, scored: tuple, tmp_path: Path) -> None:
    report = compared(tiny_var, "--vary", "best_of=4", "--judge", "tiny-judge", *scored, "-o", tmp_path)
    plain, best = report["points"]
    assert (plain["label"], best["label"]) == ("baseline", "lossy")
    assert plain["judge"] is None and best["judge"] == "tiny-judge" and report["flattered"]
    assert best["scores"]["class_share"]["value"] >= plain["scores"]["class_share"]["value"]


def test_a_page_can_have_a_name_of_its_own(tiny_var: str, scored: tuple, tmp_path: Path) -> None:
    report = compared(tiny_var, "--vary", "cfg=2", *scored, "-o", tmp_path / "mine.html")
    assert report["files"] == [str(tmp_path / f"mine.{ending}") for ending in ("html", "json", "csv")]
    assert len(list((tmp_path / "mine-points").iterdir())) == 2


def test_finished_points_are_not_made_again(
    tiny_var: str, scored: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compared(tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path)

    def refused(*arguments: object, **named: object) -> None:
        raise AssertionError("a model was loaded for a finished comparison")

    with monkeypatch.context() as patch:
        patch.setattr(Studio, "load", refused)
        assert compared(tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path) == first
    more = compared(tiny_var, "--vary", "cfg=0,3,4", *scored, "-o", tmp_path)
    assert [one["key"] for one in more["points"][:3]] == [one["key"] for one in first["points"]]
    assert more["points"][1]["seconds_per_image"] == first["points"][1]["seconds_per_image"]
    finer = compared(tiny_var, "--vary", "cfg=0,3", "--vary", "dtype=fp32,bf16", *scored, "-o", tmp_path)
    again = [one for one in finer["points"] if one["knobs"]["dtype"] == "fp32"]
    assert {one["key"] for one in again} == {one["key"] for one in first["points"]}
    assert [one["setting"] for one in again] == [
        "cfg 1.5, dtype fp32",
        "cfg 0, dtype fp32",
        "cfg 3, dtype fp32",
    ]
    assert [one["label"] for one in finer["points"]].count("other recipe, lossy") == 2
    other = compared(tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path, "--seed", 9)
    assert not {one["key"] for one in other["points"]} & {one["key"] for one in more["points"]}


def test_ctrl_c_keeps_finished_points_and_batches(
    tiny_var: str, scored: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compared(tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path / "whole")
    write, written = Shards.write, []

    def interrupted(self: Shards, at: range, *arguments: Any) -> None:
        if len(written) == 6:
            raise KeyboardInterrupt
        written.append(at)
        write(self, at, *arguments)

    flags = (tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", interrupted)
        ran = genstudio("compare", *flags)
    assert ran.code == Exit.INTERRUPTED and "Traceback" not in ran.err
    stopped = json.loads((tmp_path / "cut" / "report.json").read_text())
    assert (stopped["finished"], stopped["total"]) == (1, 3)
    assert "1 of 3 settings" in (tmp_path / "cut" / "report.html").read_text()
    assert len(list((tmp_path / "cut" / "points").rglob("*.safetensors"))) == 2
    made: list[range] = []
    monkeypatch.setattr(
        Shards, "write", lambda self, at, *arguments: (made.append(at), write(self, at, *arguments))
    )
    assert without_times(compared(*flags)) == without_times(whole)
    assert len(made) == 3 * 4 - 6


def test_a_killed_run_goes_on(tiny_var: str, scored: tuple, tmp_path: Path, home: Path) -> None:
    words = ["compare", tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path / "cut", "-q"]
    command = [sys.executable, "-m", "genstudio", *map(str, words)]
    environment = {**os.environ, "GENSTUDIO_HOME": str(home), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    points = tmp_path / "cut" / "points"
    deadline = time.monotonic() + 120
    while not list(points.glob("*.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in points.glob("*.json")}
    assert kept
    again = compared(*words[1:-1])
    whole = compared(tiny_var, "--vary", "cfg=0,3", *scored, "-o", tmp_path / "whole")
    assert all(path.read_bytes() == content for path, content in kept.items())
    digests = [[one["digest"] for one in report["points"]] for report in (again, whole)]
    assert digests[0] == digests[1]


def refused(ran: Ran) -> str:
    assert ran.code == Exit.USAGE and ran.out == "" and len(ran.err.strip().splitlines()) == 2, ran.err
    return ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "cgf=1"], "Did you mean cfg"),
        (["--vary", "cfg=1", "--vary", "cfg=2"], "given twice"),
        (["--vary", "top_p=2"], "--top-p"),
        ([], "one setting"),
        (["--vary", "best_of=2", "--judge", "fashion-features"], "knows other classes"),
        (["--vary", "dtype=fp32,fp16"], "fp16 needs a GPU"),
        (["var-fashion"], "different classes"),
        (["--vary", "cfg=1", "--match", "-1"], "--match"),
        (["--vary", "cfg=1", "--match", "nan"], "--match"),
        (["--vary", "cfg=1", "-n", "1"], "num"),
    ],
)
def test_mistakes_are_told_before_weights_load(
    tiny_var: str, scored: tuple, home: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (home / "models" / tiny_var / "model.safetensors").unlink()
    ran = genstudio("compare", tiny_var, *scored, *arguments, "-o", tmp_path / "o")
    assert words in refused(ran)
    assert not (tmp_path / "o").exists()


def test_missing_weights_are_named(tiny_var: str, scored: tuple, home: Path, tmp_path: Path) -> None:
    (home / "models" / tiny_var / "model.safetensors").unlink()
    ran = genstudio("compare", tiny_var, "--vary", "cfg=1", *scored, "-o", tmp_path / "o")
    assert ran.code == Exit.WEIGHTS and tiny_var in ran.err


def test_a_point_that_was_changed_is_named(tiny_var: str, scored: tuple, tmp_path: Path) -> None:
    compared(tiny_var, "--vary", "cfg=2", *scored, "-o", tmp_path)
    point = next((tmp_path / "points").glob("*.json"))
    point.write_text("[]")
    ran = genstudio("compare", tiny_var, "--vary", "cfg=2", *scored, "-o", tmp_path)
    assert ran.code == Exit.USAGE and point.name in ran.err
