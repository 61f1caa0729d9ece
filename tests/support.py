"""Where fixtures lie, for all tests."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def parity_folder(name: str) -> Path:
    """The fixture folder NAME: tests/parity/NAME, else below $GENSTUDIO_PARITY, else the test is skipped."""
    for root in (HERE / "parity", Path(os.environ.get("GENSTUDIO_PARITY", ""))):
        if (root / name / "meta.json").is_file():
            return root / name
    pytest.skip(f"fixture {name}: set GENSTUDIO_PARITY to the folder that holds it")
