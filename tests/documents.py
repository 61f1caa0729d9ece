"""Documents cannot rot: the commands in a Markdown file, run in order in one folder, in seconds.

Lines of `sh` blocks that begin with `genstudio`, alone or in two processes, are run; `toml` blocks that begin
with `# NAME.toml` are written to that name first. Trainings are cut to two steps, scores to a few pictures.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from genstudio.errors import Exit
from genstudio.files import home
from tests.support import genstudio, torchrun

DOCS: Final = Path(__file__).parents[1]
SHORTER: Final = {
    "train": ["--steps", "2", "--batch", "8"],
    "distill drafter": ["--steps", "2", "--batch", "8", "--data", "teacher:16"],
    "eval-fid": ["-n", "40"],
    "compare": ["-n", "40"],
    "bench": ["-n", "1"],
}
TWICE: Final = "torchrun --nproc-per-node 2 -m genstudio "
OTHERS: Final = ("import", "pull")  # need a file that only its owner has, or a hub: they must say so

Words = list[str]


def commands(document: Path) -> list[str]:
    """Every `genstudio ...` of a document, in order."""
    lines = [line.split("  #")[0].strip() for block in _blocks(document, "sh") for line in block.splitlines()]
    joined = [part.strip() for line in lines for part in line.split("&&")]
    return [line for line in joined if line.startswith(("genstudio ", TWICE))]


def write_files(document: Path, folder: Path) -> None:
    """Write the files that a document shows."""
    for block in _blocks(document, "toml"):
        name = re.match(r"# (\S+\.toml)\n", block)
        assert name, f"{document.name} has a toml block without a name: {block[:40]}"
        (folder / name[1]).write_text(block)


def run(document: Path, changed: Callable[[Words], Words] = list) -> None:
    """Run a document's commands in the working directory; `changed` gives each its own data."""
    for line in commands(document):
        words = changed(shlex.split(line.removeprefix(TWICE).removeprefix("genstudio ")))
        words += SHORTER.get(words[0], SHORTER.get(" ".join(words[:2]), []))
        if line.startswith(TWICE):
            twice = torchrun("-m", "genstudio", *words, home=home(), folder=Path.cwd())
            assert twice.returncode == Exit.OK, f"{line}: {twice.stderr}"
        else:
            expected = Exit.WEIGHTS if words[1:2] and words[1] in OTHERS else Exit.OK
            ran = genstudio(*words)
            assert ran.code == expected, f"{line}: {ran.err}"


def _blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), flags=re.S)
