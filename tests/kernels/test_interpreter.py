"""The tests of the twins once more, in a process whose Triton interprets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.mark.skipif(torch.cuda.is_available(), reason="the twins run compiled here")
def test_the_twins_agree_under_the_interpreter() -> None:
    pytest.importorskip("triton")
    names = ("decode_attention", "nearest_code", "modulate", "relaxed_mass", "twins_in_networks")
    files = [HERE / f"test_{name}.py" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *files],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout
