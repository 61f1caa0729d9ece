"""Fixtures of the tests of distillation."""

from pathlib import Path

import pytest

from tests.distillation import tiny
from tests.training.conftest import one_thread, pictures  # noqa: F401


@pytest.fixture
def teacher(home: Path) -> Path:
    """The folder of a tiny teacher, which the catalogue finds by its name."""
    return tiny.write_teacher(home / "models")
