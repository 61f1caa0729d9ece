"""The README cannot rot: every command in it runs here, in order, on the bundled checkpoints.

Lines of `sh` blocks that begin with `genstudio` are run in one empty folder. Data sets are replaced by a few
tiny pictures and trainings cut to two steps; what needs a file that only its owner has must say so with the
right exit code.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genstudio.errors import Exit
from tests.support import genstudio
from tests.training import tiny

README = Path(__file__).parents[1] / "README.md"
READS_DATA = ("train", "reconstruct")
SHORTER = {
    "train": ["--steps", "2", "--batch", "8"],
    "eval-fid": ["-n", "40"],
    "compare": ["-n", "40"],
    "bench": ["-n", "1"],
}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), flags=re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    joined = [part.strip() for line in lines for part in line.split("&&")]
    return [line for line in joined if line.startswith("genstudio")]


def test_commands_run_in_order(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = tiny.write_pictures(tmp_path / "data")
    assert len(commands()) > 8
    for line in commands():
        words = shlex.split(line)[1:]
        if words[0] in READS_DATA:
            words += ["--data", f"fashion:{data}"]
        words += SHORTER.get(words[0], [])
        expected = Exit.WEIGHTS if "import" in words else Exit.OK
        ran = genstudio(*words)
        assert ran.code == expected, f"{line}: {ran.err}"


def test_python_example_runs(home: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)
    assert list(tmp_path.glob("*.png"))
