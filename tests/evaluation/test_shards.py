"""Batches on disk: whole or absent, of one run alone."""

import json
from pathlib import Path

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.evaluation.shards import HASHES, Facts, Shards, hashes

PLAN = {"seed": 0, "batch": 5, "recipe": {"cfg": 1.5}}


def fill(shards: Shards, rows: torch.Tensor) -> None:
    for at in shards.ranges:
        piece = rows[at.start : at.stop]
        shards.write(at, {"pool": piece, HASHES: hashes(piece)}, Facts(0.5, ()))


def test_batches_come_back_in_order(tmp_path: Path) -> None:
    rows = torch.randn(25, 3)
    shards = Shards(tmp_path, PLAN, 25, 10)
    assert [len(at) for at in shards.ranges] == [10, 10, 5]
    assert not shards.has(shards.ranges[0])
    fill(shards, rows)
    assert all(map(shards.has, shards.ranges))
    assert torch.equal(torch.cat(list(shards.read("pool"))), rows)
    assert torch.equal(torch.cat(list(shards.read("pool", 20))), rows[:20])
    assert shards.names() == {"pool", HASHES} and shards.facts()[0] == Facts(0.5, ())


def test_the_hash_of_all_knows_no_batches_but_every_pixel(tmp_path: Path) -> None:
    rows = torch.randn(12, 3)
    digests = []
    for size in (1, 5, 12):
        shards = Shards(tmp_path / str(size), PLAN, 12, size)
        fill(shards, rows)
        digests.append(shards.digest())
    assert len(set(digests)) == 1
    changed = rows.clone()
    changed[7, 1] += 1
    other = Shards(tmp_path / "other", PLAN, 12, 5)
    fill(other, changed)
    assert other.digest() != digests[0]
    assert other.digest(5) == Shards(tmp_path / "5", PLAN, 12, 5).digest(5)


def test_a_run_can_be_made_longer_but_not_another(tmp_path: Path) -> None:
    fill(Shards(tmp_path, PLAN, 10, 5), torch.randn(10, 2))
    longer = Shards(tmp_path, PLAN, 20, 5)
    assert [longer.has(at) for at in longer.ranges] == [True, True, False, False]
    with pytest.raises(GenstudioError, match="another run: recipe differ"):
        Shards(tmp_path, {**PLAN, "recipe": {"cfg": 2.0}}, 10, 5)
    with pytest.raises(GenstudioError, match="another run: batch differ"):
        Shards(tmp_path, {**PLAN, "batch": 4}, 10, 4)


def test_a_damaged_batch_or_one_of_another_run_counts_as_missing(tmp_path: Path) -> None:
    shards = Shards(tmp_path, PLAN, 10, 5)
    fill(shards, torch.randn(10, 2))
    first, second = sorted((tmp_path / "shards").iterdir())
    first.write_bytes(first.read_bytes()[:-3])
    foreign = Shards(tmp_path / "foreign", {**PLAN, "seed": 1}, 10, 5)
    fill(foreign, torch.randn(10, 2))
    second.write_bytes((tmp_path / "foreign" / "shards" / second.name).read_bytes())
    assert [shards.has(at) for at in shards.ranges] == [False, False]


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    Shards(tmp_path, PLAN, 10, 5)
    path = tmp_path / "manifest.json"
    assert json.loads(path.read_text())["recipe"] == {"cfg": 1.5}
    path.write_text("{")
    with pytest.raises(GenstudioError, match=r"manifest\.json cannot be read"):
        Shards(tmp_path, PLAN, 10, 5)


def test_no_picture_has_no_hash() -> None:
    assert hashes(torch.empty(0, 3, 2, 2, dtype=torch.uint8)).shape == (0, 32)
