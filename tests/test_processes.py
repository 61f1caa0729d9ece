"""Sharing work between the processes of a run."""

import subprocess
import sys

import pytest

from genstudio.processes import Processes

MEET = """
import pathlib, sys, time
from genstudio.processes import Processes
mine = Processes.of_this_run()
folder = pathlib.Path(sys.argv[1])
time.sleep(0.5 * mine.rank)
(folder / str(mine.rank)).write_text("here")
mine.wait()
assert len(list(folder.iterdir())) == mine.count == 2
mine.leave()
"""


def test_alone_means_everything_and_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Processes.of_this_run()
    assert alone == Processes(0, 1) and alone.first
    assert list(alone.share(range(5))) == [0, 1, 2, 3, 4]
    alone.wait()
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


def test_two_processes_wait_for_each_other(tmp_path) -> None:
    script, folder = tmp_path / "meet.py", tmp_path / "met"
    script.write_text(MEET)
    folder.mkdir()
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, folder]
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
