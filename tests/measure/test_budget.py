"""What fits: sizes that people write, limits, and the largest batch that is named."""

import re
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from genstudio.errors import Exit, GenstudioError
from genstudio.measure import budget
from genstudio.measure.budget import check_memory, fitting_batch, free_memory, parse_size
from genstudio.measure.memory import estimate, held
from genstudio.releases import catalogue
from genstudio.runtime import Runtime

CPU = Runtime("cpu", "float32")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8_000_000_000),
        ("8g", 8_000_000_000),
        ("512 MB", 512_000_000),
        ("1.5GiB", 3 * 2**29),
        ("2kib", 2048),
        ("1000000", 1_000_000),
        ("10B", 10),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "0", "8XB", "GB", "1.2.3MB", "8iB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(GenstudioError, match="no amount of memory"):
        parse_size(text)


def test_the_batch_that_is_named_is_the_largest_that_fits(home: Path) -> None:
    release, limit = catalogue.find("var-fashion"), 120_000_000
    with pytest.raises(GenstudioError) as caught:
        check_memory(release, 12, CPU, limit)
    assert caught.value.code == Exit.MEMORY
    for part in ("weights", "cache", "activations", "120.0 MB are allowed"):
        assert part in caught.value.message
    named = int(re.findall(r"--batch (\d+)", caught.value.hint)[0])
    assert estimate(release, named, "float32").total <= limit < estimate(release, named + 1, "float32").total
    check_memory(release, named, CPU, limit)


def test_the_batch_backs_off_to_the_largest_that_fits(home: Path) -> None:
    release, limit = catalogue.find("var-fashion"), 120_000_000
    fitting = fitting_batch(release, 12, CPU, limit)
    assert estimate(release, fitting, "float32").total <= limit
    assert estimate(release, fitting + 1, "float32").total > limit
    assert fitting_batch(release, fitting, CPU, limit) == fitting
    assert fitting_batch(release, 12, CPU, 10**9) == 12
    with pytest.raises(GenstudioError, match="at batch 1 needs about") as caught:
        fitting_batch(release, 12, CPU, 10**6)
    assert caught.value.code == Exit.MEMORY


def test_when_nothing_fits(home: Path) -> None:
    with pytest.raises(GenstudioError, match="var-d30") as caught:
        check_memory(catalogue.find("var-d30"), 2, CPU, 10**9)
    assert "Not even one" in caught.value.hint and "--dtype bf16" in caught.value.hint


def test_without_a_limit_only_the_hopeless_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = catalogue.find("var-fashion")
    certain = held(release, 8, "float32").total
    monkeypatch.setattr(budget, "free_memory", lambda runtime: certain)
    check_memory(release, 8, CPU)
    with pytest.raises(GenstudioError, match="are free") as caught:
        check_memory(release, 9, CPU)
    assert caught.value.code == Exit.MEMORY and "--batch 8" in caught.value.hint


def test_guidance_counts(home: Path) -> None:
    release = catalogue.find("var-fashion")
    plain = release.recipe.override(cfg=0)
    limit = estimate(release, 4, "float32", plain).total
    check_memory(release, 4, CPU, limit, plain)
    with pytest.raises(GenstudioError):
        check_memory(release, 4, CPU, limit)


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**10))
    file = tmp_path / "memory.max"
    monkeypatch.setattr(budget, "CONTAINER_LIMIT", file)
    assert free_memory(CPU) == 10**10
    file.write_text("max\n")
    assert free_memory(CPU) == 10**10
    file.write_text("4000000\n")
    assert free_memory(CPU) == 4_000_000
