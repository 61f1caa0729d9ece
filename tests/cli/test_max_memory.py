"""`--max-memory`: the batch backs off, what was asked for by number is refused; memory that ends is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.errors import Exit
from genstudio.measure.memory import estimate
from genstudio.media.png import read_spec
from genstudio.releases import catalogue
from genstudio.runtime import Runtime
from genstudio.studio import Studio
from tests.support import genstudio


def limit_for(name: str, batch: int) -> str:
    """As many bytes as that batch is estimated to need on this machine."""
    return str(estimate(catalogue.find(name), batch, Runtime.choose().dtype).total)


def test_sample_takes_the_largest_batch_that_fits_and_says_so(tiny_var: str, tmp_path: Path) -> None:
    limit = limit_for(tiny_var, 5)
    ran = genstudio("sample", tiny_var, "-n", "12", "--max-memory", limit, "-o", tmp_path)
    assert ran.code == Exit.OK
    assert f"{limit}: 5 pictures at a time, not 12" in ran.err
    assert read_spec(tmp_path / tiny_var / "000-000000.png")["batch"]["size"] == 5
    assert len(list((tmp_path / tiny_var).glob("0*.png"))) == 12
    plan = genstudio("sample", tiny_var, "-n", "12", "--max-memory", limit, "--dry-run").data
    assert plan["batch"]["size"] == 5


def test_enough_memory_changes_nothing(tiny_var: str, tmp_path: Path) -> None:
    ran = genstudio("sample", tiny_var, "-n", "12", "--max-memory", "2GB", "-o", tmp_path)
    assert ran.code == Exit.OK and "at a time" not in ran.err
    assert read_spec(tmp_path / tiny_var / "000-000000.png")["batch"]["size"] == 12


def test_a_batch_by_number_is_refused_and_so_is_what_fits_in_no_way(tiny_var: str) -> None:
    limit = limit_for(tiny_var, 5)
    ran = genstudio("sample", tiny_var, "-n", "12", "--batch", "6", "--max-memory", limit)
    assert ran.code == Exit.MEMORY and "Give --batch 5" in ran.err
    ran = genstudio("sample", tiny_var, "-n", "12", "--max-memory", "1MB", "--json")
    assert ran.code == Exit.MEMORY and "Not even one" in ran.data["error"]["hint"]


def test_a_replay_backs_off_too_and_takes_a_batch_by_number(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-n", "8", "-o", tmp_path)
    source = tmp_path / tiny_var / "000-000000.png"
    limit = limit_for(tiny_var, 3)
    ran = genstudio("sample", "--from", source, "--max-memory", limit, "-o", tmp_path / "b")
    assert ran.code == Exit.OK and "3 pictures at a time, not 8" in ran.err
    ran = genstudio("sample", "--from", source, "--batch", "2", "-o", tmp_path / "c")
    again = read_spec(tmp_path / "c" / tiny_var / "000-000000.png")
    assert ran.code == Exit.OK and again["batch"]["size"] == 2 and again["pictures"] == [[0, 0]]


def test_scores_are_made_in_batches_that_fit(tiny_var: str, tiny_judge: str, tmp_path: Path) -> None:
    limit = limit_for(tiny_var, 4)
    words = (
        tiny_var,
        "-n",
        "10",
        "--extractor",
        tiny_judge,
        "--reference",
        tmp_path / "real",
        "--metrics",
        "fid",
    )
    genstudio("sample", tiny_var, "-n", "20", "--no-grid", "-o", tmp_path)
    (tmp_path / tiny_var).rename(tmp_path / "real")
    ran = genstudio("eval-fid", *words, "--max-memory", limit)
    assert ran.code == Exit.OK, ran.err
    assert f"{limit}: 4 pictures at a time, not 10\n" in ran.err
    refused = genstudio("eval-fid", *words, "--max-memory", limit, "--batch", "9")
    assert refused.code == Exit.MEMORY and "Give --batch 4" in refused.err


def test_memory_that_ends_on_the_way_halves_the_batch(
    tiny_var: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genstudio("sample", tiny_var, "-n", "8", "-o", tmp_path / "whole")
    decode = Studio.decode

    def scarce(self: Studio, codes: object, sampling: object, side: object) -> object:
        if len(sampling.seed_B) > 4:  # type: ignore[attr-defined]
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return decode(self, codes, sampling, side)  # type: ignore[arg-type]

    monkeypatch.setattr(Studio, "decode", scarce)
    ran = genstudio("sample", tiny_var, "-n", "8", "-o", tmp_path / "half")
    assert ran.code == Exit.OK
    assert "Out of memory with 8 pictures at a time: going on with 4." in ran.err
    for path in (tmp_path / "half" / tiny_var).glob("0*.png"):
        whole = np.asarray(Image.open(tmp_path / "whole" / tiny_var / path.name)).astype(int)
        assert np.abs(np.asarray(Image.open(path)).astype(int) - whole).max() <= 1
