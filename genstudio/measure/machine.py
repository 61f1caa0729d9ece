"""What this machine can do, and what else it does meanwhile: the yardsticks that stand beside a speed.

Rates are measured in the run that reports them, with the same threads, so that a slow clock or a narrow
machine explains itself. Large square products and large copies: the most that a program can hope for.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

import psutil
import torch

REPEATS: Final = 5
SIDE: Final = {"cuda": 8192}
CPU_SIDE: Final = 2048
COPIED: Final = 256 << 20  # bytes: past the caches of one processor
WATCHED_SECONDS: Final = 0.5  # the clock of processor time ticks every 10 ms


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product of side 2048 (8192 on a GPU), median of 5."""
    side = SIDE.get(device.type, CPU_SIDE)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * side**3 / _seconds(lambda: torch.mm(left, right, out=out), device)


def copy_rate(device: torch.device) -> float:
    """Bytes/s of a copy of 256 MB within the device's memory, read and written bytes both counted; median of
    5."""
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * COPIED / _seconds(lambda: target.copy_(source), device)


def synchronise(device: torch.device) -> None:
    """Wait until everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    """The product name of the GPU or the processor, with its cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {os.cpu_count()} cores"


class Others:
    """Watches what other processes use of the processors, from its making on."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        psutil.cpu_percent()
        self._own.cpu_percent()
        time.sleep(WATCHED_SECONDS)

    def share(self) -> float:
        """The part of all processors, 0 to 1, that was busy since then with anything but this process; time
        that a host took from a virtual machine counts as busy."""
        machine = psutil.cpu_percent() / 100
        own = self._own.cpu_percent() / 100 / (os.cpu_count() or 1)
        return max(0.0, machine - own)


@torch.inference_mode()
def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The median time of some work, after one round that does not count."""
    times: list[float] = []
    for _ in range(1 + REPEATS):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return median(times[1:])


def _processor() -> str:
    """Linux keeps the name in a file; elsewhere `platform` knows it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
