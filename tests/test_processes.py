"""Sharing work between the processes of a run."""

import pytest
import torch

from genstudio.processes import Processes
from tests.support import torchrun

MEET = """
import pathlib, sys, time
import torch
from genstudio import processes
mine, folder = processes.Processes.of_this_run(), pathlib.Path(sys.argv[1])
time.sleep(0.5 * mine.rank)
(folder / str(mine.rank)).write_text("here")
mine.wait()
assert len(list(folder.iterdir())) == mine.count == 2
mine.wait()  # nobody writes on before both have looked

with mine.first_ahead():
    assert mine.first != (folder / "made").exists()
    (folder / "made").write_text("by the first")

assert [mine.any(flag) for flag in (False, mine.first, not mine.first)] == [False, True, True]

processes.BUCKET = 5  # so that these travel in two messages
values = [torch.full((2, 3), 1.0 + mine.rank), torch.tensor(mine.rank * 4.0), torch.ones(1)]
mine.mean_(values)
assert [value.flatten().tolist() for value in values] == [[1.5] * 6, [2.0], [1.0]]
counts = torch.arange(2 + mine.rank)[:2]
mine.sum_([counts])
assert counts.tolist() == [0, 2] and counts.dtype == torch.int64

rows = mine.joined(torch.arange(4).view(2, 2).t() + 10 * mine.rank)
assert rows.tolist() == [[0, 2], [1, 3], [10, 12], [11, 13]]
assert mine.collect([mine.rank] * (1 + mine.rank)) == ([0, 1, 1] if mine.first else [])
mine.leave()
"""


def test_alone_means_everything_and_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Processes.of_this_run()
    assert alone == Processes(0, 1) and alone.first
    assert list(alone.share(range(5))) == [0, 1, 2, 3, 4]
    alone.wait()
    with alone.first_ahead():
        value = torch.tensor([3.0])
    alone.mean_([value])
    alone.sum_([value])
    assert alone.joined(value) is value and value.item() == 3.0
    assert alone.collect([1, 2]) == [1, 2] and alone.any(True) and not alone.any(False)
    alone.leave()


def test_shares_are_disjoint_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        mine = Processes.of_this_run()
        assert mine.first == (rank == 0)
        shares.append(list(mine.share(range(10))))
    assert sorted(index for share in shares for index in share) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_two_processes_wait_for_each_other_and_meet_in_numbers(tmp_path) -> None:
    script, folder = tmp_path / "meet.py", tmp_path / "met"
    script.write_text(MEET)
    folder.mkdir()
    ran = torchrun(script, folder, home=tmp_path)
    assert ran.returncode == 0, ran.stderr
