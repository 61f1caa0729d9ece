"""`genstudio bench`: stable keys, sane values, honest headlines, early refusals."""

import math
from typing import Any

import pytest

from genstudio.errors import Exit
from genstudio.measure import bench as benching
from genstudio.measure import budget, machine
from genstudio.measure.machine import Others
from genstudio.releases import weights
from tests.support import genstudio

SPREADS = ("images_per_second", "image_seconds", "first_image_seconds", "tokens_per_second")


@pytest.fixture(autouse=True)
def quick_yardsticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own rates take seconds and have tests of their own."""
    monkeypatch.setattr(benching, "matrix_rate", lambda device, dtype: 1e11)
    monkeypatch.setattr(benching, "copy_rate", lambda device: 1e10)
    monkeypatch.setattr(machine, "WATCHED_SECONDS", 0)


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Others, "share", lambda self: 0.03)


def bench(model: str, *arguments: object) -> dict[str, Any]:
    ran = genstudio("bench", model, "-n", 2, *arguments, "--json")
    assert ran.code == Exit.OK and ran.err == "", ran.err
    return ran.data


def test_the_report_is_whole(tiny_var: str, quiet_machine: None) -> None:
    report = bench(tiny_var, "--batch", "1,4", "--dtype", "fp32,bf16")
    assert set(report) == {
        "model",
        "recipe",
        "headline",
        "note",
        "machine",
        "runs",
        "warm_up",
        "cases",
    }
    assert (report["model"], report["runs"], report["warm_up"]) == (tiny_var, 2, 1)
    assert report["headline"] is True and report["note"] is None
    facts = report["machine"]
    assert set(facts["matrix_flops_per_second"]) == {"float32", "bfloat16"}
    assert facts["versions"]["torch"] and facts["threads"] >= 1 and facts["kernels"] == "torch"
    cases = report["cases"]
    shapes = [(case["dtype"], case["batch"]) for case in cases]
    assert shapes == [("float32", 1), ("float32", 4), ("bfloat16", 1), ("bfloat16", 4)]
    assert len({tuple(sorted(case)) for case in cases}) == 1


def test_the_values_of_a_case_agree_with_each_other(tiny_var: str, quiet_machine: None) -> None:
    report = bench(tiny_var, "--batch", "4")
    (case,) = report["cases"]
    for name in SPREADS:
        assert 0 < case[name]["low"] <= case[name]["median"] <= case[name]["high"], name
    assert case["first_image_seconds"]["median"] <= 4 * case["image_seconds"]["high"]
    assert (case["steps"], case["tokens"]) == (3, 21)
    assert case["memory"]["cache"] == 2 * 8 * (2 * 5 + 21) * 64 * 4
    assert case["memory"]["weights"] > 0 and case["memory"]["activations_estimate"] > 0
    assert case["memory"]["peak_above_weights"] >= 0
    flops = sum(case["flops"].values())
    assert case["flops_per_second"] == pytest.approx(flops / case["image_seconds"]["median"])
    matrix = report["machine"]["matrix_flops_per_second"]["float32"]
    assert case["matrix_share"] == pytest.approx(case["flops_per_second"] / matrix)
    copies = report["machine"]["copy_bytes_per_second"]
    assert case["copy_share"] == pytest.approx(case["read_bytes_per_second"] / copies)
    assert math.isfinite(case["load_seconds"]) and case["warm_up_seconds"] > 0


def test_fields_of_the_recipe_are_measured(tiny_var: str, quiet_machine: None) -> None:
    report = bench(tiny_var, "--batch", "2", "--cfg", "0", "--top-k", "5")
    assert "cfg 0" in report["recipe"] and "top_k 5" in report["recipe"]
    assert report["cases"][0]["memory"]["cache"] == 2 * 2 * (2 * 5 + 21) * 64 * 4


def test_a_loaded_machine_gives_no_headline(tiny_var: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Others, "share", lambda self: 0.37)
    report = bench(tiny_var, "--batch", "1")
    assert report["headline"] is False
    assert report["note"] == "not a headline: other processes used 37 % of the machine"
    assert report["cases"][0]["images_per_second"]["median"] > 0
    said = genstudio("bench", tiny_var, "--batch", "1", "-n", "1")
    assert said.out.strip().endswith(report["note"])


def test_people_get_a_table(tiny_var: str, quiet_machine: None) -> None:
    ran = genstudio("bench", tiny_var, "--batch", "1", "-n", "1")
    assert ran.code == Exit.OK
    assert "IMAGES/S" in ran.out and "21 tokens in 3 steps" in ran.out and "GFLOP/s in float32" in ran.out
    assert "not a headline" not in ran.out
    assert "float32, batch 1" in ran.err
    assert genstudio("bench", tiny_var, "--batch", "1", "-n", "1", "-q").err == ""


def test_compiled_networks_are_measured_as_such(
    tiny_var: str, quiet_machine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genstudio.studio import Studio

    compiled: list[str] = []
    monkeypatch.setattr(Studio, "compile", lambda self: compiled.append(self.release.name))
    assert bench(tiny_var, "--batch", "1", "--compile")["machine"]["compile"] is True
    assert compiled == [tiny_var]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--batch", "0"], Exit.USAGE, ["--batch"]),
        (["--batch", "1,x"], Exit.USAGE, ["1,16"]),
        (["--batch", ""], Exit.USAGE, ["--batch"]),
        (["--dtype", "fp32,int4"], Exit.USAGE, ["int4"]),
        (["-n", "0"], Exit.USAGE, ["-n"]),
        (["--warmup", "0"], Exit.USAGE, ["--warmup"]),
        (["--steps", "5"], Exit.USAGE, ["steps"]),
        (["--device", "cuda"], Exit.USAGE, ["cuda"]),
    ],
)
def test_mistakes(tiny_var: str, arguments: list[str], code: Exit, words: list[str]) -> None:
    ran = genstudio("bench", tiny_var, *arguments)
    assert ran.code == code and ran.out == ""
    assert all(word in ran.err for word in words), ran.err


def test_other_releases_and_names(tiny_var: str) -> None:
    assert "makes no pictures" in genstudio("bench", "tiny-vq").err
    assert "Did you mean" in genstudio("bench", "tiny-vra").err
    assert genstudio("bench", "var-d16", "-q").code == Exit.WEIGHTS


@pytest.fixture
def nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*arguments: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(weights, "load", loaded)


def test_a_hopeless_run_is_refused_before_it_loads(
    tiny_var: str, nothing_loads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "free_memory", lambda runtime: 1_000_000)
    for command in ("bench", "sample"):
        ran = genstudio(command, tiny_var, "--batch", "1", "--json")
        assert ran.code == Exit.MEMORY
        assert "weights" in ran.data["error"]["message"] and "are free" in ran.data["error"]["message"]
        assert "smaller model" in ran.data["error"]["hint"]


def test_sample_keeps_to_max_memory(tiny_var: str, nothing_loads: None) -> None:
    ran = genstudio("sample", tiny_var, "-n", "64", "--batch", "64", "--max-memory", "80MB")
    assert ran.code == Exit.MEMORY and ran.out == ""
    message, hint = ran.err.strip().splitlines()
    assert all(word in message for word in ("weights", "cache", "activations", "80.0 MB are allowed"))
    assert "--batch" in hint
    tried = genstudio("sample", tiny_var, "--max-memory", "80MB", "--batch", "64", "-n", "64", "--dry-run")
    assert tried.code == Exit.MEMORY
    assert genstudio("sample", tiny_var, "--max-memory", "many").code == Exit.USAGE


def test_what_fits_runs(tiny_var: str, tmp_path: object) -> None:
    ran = genstudio("sample", tiny_var, "-c", "1", "--max-memory", "1GB", "-o", tmp_path, "-q")
    assert ran.code == Exit.OK
