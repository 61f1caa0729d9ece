"""`--accel` and `models --accel`: the table, the plan of a run, mistakes; with toys of the real protocol."""

from pathlib import Path

import pytest

from genstudio.errors import Exit
from tests.samplers.accelerated import install
from tests.support import genstudio

pytestmark = pytest.mark.usefixtures("tiny_var")


@pytest.fixture
def _filled(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


def test_the_options_are_shown() -> None:
    for command in ("sample", "models", "eval-fid", "compare", "bench"):
        assert "--accel" in genstudio(command, "--help").out


@pytest.mark.usefixtures("_filled")
def test_the_table_tells_which_accelerator_takes_which_model_and_what_it_promises() -> None:
    lines = genstudio("models", "--accel").out.splitlines()
    assert lines[0].split()[-3:] == ["ahead", "small", "alone"]
    row = next(line for line in lines if line.startswith("tiny-var "))
    assert row.split() == ["tiny-var", "exact", "lossy", "lossy"]
    assert "ahead: guesses codes ahead" in lines
    assert not any(line.startswith("tiny-vq") for line in lines)
    data = genstudio("models", "--accel", "--json").data["accelerators"]
    ahead = next(one for one in data if one["name"] == "ahead")
    assert ahead["site"] == "walk" and ahead["settings"]["window"] == 16 and ahead["beside"] == ["small"]
    assert ahead["models"]["tiny-var"] == {"exactness": "exact", "refusal": None}
    refused = [one for one in ahead["models"].values() if one["refusal"]]
    assert all(one["exactness"] is None and "no codes one by one" in one["refusal"] for one in refused)


@pytest.mark.usefixtures("_filled")
def test_a_run_is_planned_with_its_accelerators_and_the_weakest_promise() -> None:
    found = genstudio("sample", "tiny-var", "--accel", "ahead:window=4", "--accel", "small", "--dry-run").data
    assert found["accelerators"] == ["small", "ahead:window=4,loose=off,share=0.5"]
    assert found["exactness"] == "lossy"
    assert "accelerators" not in genstudio("sample", "tiny-var", "--dry-run").data


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--accel", "ahed"], "Did you mean ahead?"),
        (["--accel", "ahead:window=1"], "window = '1' cannot be"),
        (["--accel", "small", "--accel", "alone"], "never shown to work together"),
    ],
)
def test_mistakes_are_told_before_anything_loads(tmp_path: Path, words: list[str], said: str) -> None:
    ran = genstudio("sample", "tiny-var", *words, "-o", tmp_path / "o")
    assert ran.code == Exit.USAGE and said in ran.err and len(ran.err.strip().splitlines()) == 2
    assert not (tmp_path / "o").exists()
