"""Where fixtures lie, the command line run inside the test's own process, and programs in two processes."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from genstudio.cli.main import app, guarded

HERE = Path(__file__).parent


def parity_folder(name: str) -> Path:
    """The fixture folder NAME: tests/parity/NAME, else below $GENSTUDIO_PARITY, else the test is skipped."""
    for root in (HERE / "parity", Path(os.environ.get("GENSTUDIO_PARITY", ""))):
        if (root / name / "meta.json").is_file():
            return root / name
    pytest.skip(f"fixture {name}: set GENSTUDIO_PARITY to the folder that holds it")


class Ran(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """Stdout as JSON; fails if there is anything else on it."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def genstudio(*arguments: object) -> Ran:
    """Run a command as the shell would, without a new process."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = guarded(lambda: app(words, standalone_mode=False), as_json="--json" in words)
    return Ran(code, out.getvalue(), err.getvalue())


def torchrun(*words: object, home: Path, folder: Path = HERE.parent) -> "subprocess.CompletedProcess[str]":
    """Run a Python program in two processes as torchrun starts them, in `folder`."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "GENSTUDIO_HOME": str(home)}
    words = [*launch, *map(str, words)]
    return subprocess.run(words, cwd=folder, env=surroundings, capture_output=True, text=True)
