"""Where Triton kernels run in these tests: compiled on a GPU, else interpreted, in a process of their own.

Triton has to see TRITON_INTERPRET before its first import; `test_interpreter.py` starts that process.
"""

import os

import pytest
import torch


@pytest.fixture
def twin_device() -> str:
    """A device on which both twins of every kernel run."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("no GPU here; test_interpreter.py runs this under Triton's interpreter")
    return "cpu"
