"""A run killed with SIGKILL at five random moments, one of them inside a checkpoint write, ends as if it had
never been killed: the same weights, bit for bit, the same metrics."""

import io
import multiprocessing
import random
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import pytest
import torch

from genstudio.training import checkpoint
from genstudio.training.run import train
from tests.training import tiny
from tests.training.tiny import lines, weights_hash

STEPS = 24
ALARM = 120.0


def child(home: str, data: str, folder: str, step: Any, writing: Any, stall: bool) -> None:
    """Train in a process of its own; `stall` stops for ever in the middle of the second checkpoint."""
    import os

    os.environ["GENSTUDIO_HOME"] = home
    torch.set_num_threads(1)
    if stall:
        _stall_in_second_write(writing)
    changes = {"run__steps": STEPS, "save__every": 3, "log__every": 2, "objective__adversarial": 0.1}
    recipe = tiny.recipe(tiny.VQ, Path(data), **changes)

    def report(status: Any) -> None:
        step.value = status.step

    train(recipe, Path(folder), torch.device("cpu"), report=report)


def _stall_in_second_write(writing: Any) -> None:
    real, calls = torch.save, iter(range(1000))

    def half(state: Any, path: Path) -> None:
        if next(calls) == 0:
            real(state, path)
            return
        whole = io.BytesIO()
        real(state, whole)
        Path(path).write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        writing.value = 1
        time.sleep(ALARM)

    checkpoint.torch.save = half


def killed(context: ForkServerContext, folder: Path, arguments: tuple[str, str], at: int, wait: float) -> int:
    """Start a child and kill it `wait` seconds after step `at` (-1: inside a checkpoint write)."""
    step, writing = RawValue("i", 0), RawValue("i", 0)
    process = context.Process(target=child, args=(*arguments, str(folder), step, writing, at < 0))
    process.start()
    limit = time.monotonic() + ALARM
    while not (writing.value if at < 0 else step.value >= at):
        assert process.is_alive() and time.monotonic() < limit
        time.sleep(0.001)
    time.sleep(wait)
    process.kill()
    process.join()
    return int(process.exitcode or 0)


def test_five_kills_change_nothing(pictures: Path, home: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.test_killed"])
    arguments = (str(home), str(pictures))
    whole, broken, luck = tmp_path / "whole", tmp_path / "broken", random.Random(2)
    process = context.Process(
        target=child, args=(*arguments, str(whole), RawValue("i", 0), RawValue("i", 0), False)
    )
    process.start()
    for number in range(5):
        at = -1 if number == 2 else 4 * number + luck.randint(0, 3)
        assert killed(context, broken, arguments, at, luck.random() * 0.2) == -9
        assert bool(list(broken.glob(".checkpoint.pt.*.part"))) or number != 2
        assert not (broken / "model.safetensors").exists()
    child_done = context.Process(
        target=child, args=(*arguments, str(broken), RawValue("i", 0), RawValue("i", 0), False)
    )
    child_done.start()
    for one in (process, child_done):
        one.join()
        assert one.exitcode == 0
    assert weights_hash(whole) == weights_hash(broken)
    assert lines(whole) == lines(broken)
    assert not list(broken.glob(".checkpoint.pt.*.part"))


@pytest.mark.parametrize("change", [{"run__seed": 4}, {"objective__restart_after": 3}])
def test_another_run_does_not_end_the_same(change: dict[str, Any], pictures: Path, tmp_path: Path) -> None:
    """The comparison above would notice."""
    for folder, changes in ((tmp_path / "a", {}), (tmp_path / "b", change)):
        train(tiny.recipe(tiny.VQ, pictures, run__steps=4, **changes), folder, torch.device("cpu"))
    assert weights_hash(tmp_path / "a") != weights_hash(tmp_path / "b")
