"""A distillation killed with SIGKILL, while its teacher samples and while it trains, ends as if it had not
been: the same lessons, the same weights, bit for bit, the same metrics."""

import multiprocessing
import os
import time
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import torch

from genstudio.distillation import drafting
from genstudio.distillation.shards import Shards, Tensors
from genstudio.training.run import train
from tests.distillation import tiny
from tests.training.tiny import lines, weights_hash

CPU, ALARM = torch.device("cpu"), 120.0
SETTINGS: dict[str, Any] = {"run__steps": 12, "save__every": 3}


def child(home: str, folder: str, sampled: Any, step: Any) -> None:
    """Distil in a process of its own, one example to a shard."""
    os.environ["GENSTUDIO_HOME"] = home
    torch.set_num_threads(1)
    _small_shards(sampled)

    def report(status: Any) -> None:
        step.value = status.step
        time.sleep(0.02)

    train(tiny.recipe("teacher:12", **SETTINGS), Path(folder), CPU, report=report)


def _small_shards(sampled: Any) -> None:
    def shards(*words: Any) -> Shards:
        return Shards(*words, size=1)

    real = drafting._ids

    def slowly(*words: Any) -> Tensors:
        sampled.value += 1
        time.sleep(0.02)
        return real(*words)

    drafting.Shards = shards
    drafting._ids = slowly


def killed(home: Path, folder: Path, sampled: int = 0, step: int = 0) -> None:
    """Kill a child as soon as it has sampled, or stepped, as often."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.distillation.test_killed"])
    counts = RawValue("i", 0), RawValue("i", 0)
    process = context.Process(target=child, args=(str(home), str(folder), *counts))
    process.start()
    limit = time.monotonic() + ALARM
    while counts[0].value < sampled or counts[1].value < step:
        assert process.is_alive() and time.monotonic() < limit
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -9


def hashes(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (home / "codes").rglob("*.safetensors")}


def test_kills_change_nothing(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    tiny.write_teacher(home / "models")
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    killed(home, broken, sampled=4)
    first = hashes(home)
    assert 0 < len(first) < 12 and not broken.exists()
    killed(home, broken, step=7)
    assert not (broken / "model.safetensors").exists()
    monkeypatch.setattr(drafting, "Shards", lambda *words: Shards(*words, size=1))
    train(tiny.recipe("teacher:12", **SETTINGS), broken, CPU)
    made = hashes(home)
    for path in (home / "codes").rglob("*.safetensors"):
        path.unlink()
    train(tiny.recipe("teacher:12", **SETTINGS), whole, CPU)
    assert hashes(home) == made and first.items() <= made.items()
    assert weights_hash(whole) == weights_hash(broken)
    assert lines(whole) == lines(broken)
