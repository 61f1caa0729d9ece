"""The yardsticks of the machine, and what others do on it."""

import os
import subprocess
import sys

import psutil
import pytest
import torch

from genstudio.measure.machine import Others, copy_rate, device_name, matrix_rate

CPU = torch.device("cpu")


def test_rates_are_those_of_a_computer() -> None:
    assert 1e8 < matrix_rate(CPU, torch.float32) < 1e15
    assert 1e8 < copy_rate(CPU) < 1e13


def test_the_processor_has_a_name() -> None:
    assert f"{os.cpu_count()} cores" in device_name(CPU)


def test_the_own_share_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda: 80.0)
    monkeypatch.setattr(psutil.Process, "cpu_percent", lambda self: 100.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert Others().share() == pytest.approx(0.3)
    monkeypatch.setattr(psutil, "cpu_percent", lambda: 40.0)
    assert Others().share() == 0


def test_a_busy_neighbour_is_seen() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert Others().share() > 0.2 / (os.cpu_count() or 1)
    finally:
        busy.kill()
        busy.wait()
