"""Fixtures of the training tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training import tiny


@pytest.fixture
def pictures(tmp_path: Path, home: Path) -> Path:
    """A folder of tiny pictures; codes and models go to a home of the test's own."""
    return tiny.write_pictures(tmp_path / "pictures")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are faster, and sums always in the same order, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
