"""Shards: made once, shared out, gone on with; and what is broken or another's is named."""

import os
import signal
from pathlib import Path

import pytest
import torch

from genstudio.distillation.shards import Shards, Tensors
from genstudio.errors import Exit, GenstudioError
from genstudio.processes import Processes

READS = {"teacher": "a"}


def build(part: range) -> Tensors:
    """Rows that say which example they are."""
    number_N = torch.arange(part.start, part.stop)
    return {"ids": number_N[:, None].repeat(1, 3), "half": number_N / 2}


def test_shards_hold_all_examples_in_their_order(tmp_path: Path) -> None:
    shards = Shards(tmp_path, READS, 10, size=4)
    told: list[int] = []
    shards.make(build, report=told.append)
    assert [len(part) for part in shards.ranges] == [4, 4, 2] and told == [4, 8, 10]
    assert all(value.equal(build(range(10))[name]) for name, value in shards.read().items())


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    shards = Shards(tmp_path, READS, 10, size=4)
    shards.make(build)
    shards.path(range(4, 8)).unlink()
    made: list[range] = []

    def note(part: range) -> Tensors:
        made.append(part)
        return build(part)

    shards.make(note)
    assert made == [range(4, 8)] and shards.done() == 10


def test_the_first_ctrl_c_stops_behind_the_shard(tmp_path: Path) -> None:
    def press(part: range) -> Tensors:
        os.kill(os.getpid(), signal.SIGINT)
        return build(part)

    shards = Shards(tmp_path, READS, 10, size=4)
    with pytest.raises(GenstudioError, match="4 of 10 examples") as caught:
        shards.make(press)
    assert caught.value.code == Exit.INTERRUPTED
    shards.make(build)
    assert shards.read()["half"].equal(build(range(10))["half"])


def test_processes_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "any", lambda self, flag: flag)
    shards = Shards(tmp_path, READS, 10, size=2)
    shards.make(build, Processes(1, 2))
    assert [part.start for part in shards.ranges if shards.path(part).is_file()] == [2, 6]
    shards.make(build, Processes(0, 2))
    assert shards.done() == 10


def test_a_broken_shard_is_named_and_can_be_made_again(tmp_path: Path) -> None:
    shards = Shards(tmp_path, READS, 10, size=4)
    shards.make(build)
    path = shards.path(range(4, 8))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    for broken, says in ((whole[: len(whole) // 2], "is damaged"), (bytes(flipped), "not hold the numbers")):
        path.write_bytes(broken)
        with pytest.raises(GenstudioError, match=rf"00000004-00000008.*{says}") as caught:
            shards.read()
        assert caught.value.code == Exit.WEIGHTS and "Remove it" in caught.value.hint
    path.unlink()
    shards.make(build)
    assert path.read_bytes() == whole


def test_shards_of_other_lessons_are_named_by_their_hash(tmp_path: Path) -> None:
    first = Shards(tmp_path, READS, 4)
    first.make(build)
    other = Shards(tmp_path, {"teacher": "b"}, 4)
    with pytest.raises(GenstudioError, match=rf"other lessons \({first.lessons}, these are {other.lessons}"):
        other.read()
