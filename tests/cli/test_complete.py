"""What a shell offers behind TAB, asked as bash asks; and that no key press waits for torch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from genstudio.cli.complete import class_names
from genstudio.data.labels import names_of, parse_classes
from genstudio.files import write_text
from genstudio.releases import catalogue
from genstudio.releases.release import to_json
from tests.releases import tiny

COMMAND = """
import atexit, sys
sys.argv = ["genstudio", *sys.argv[1:]]
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
from genstudio.cli.main import main
main()
"""


def _run(*words: str, **environment: str) -> tuple[list[str], str]:
    """Lines on stdout; the last of stderr says whether torch was imported."""
    found = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.splitlines(), found.stderr.splitlines()[-1]


def offered(line: str) -> list[str]:
    """What bash would show for the last word of a line."""
    place = str(len(line.split(" ")) - 1)
    lines, torch = _run(_GENSTUDIO_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=place)
    assert torch == "False"
    return [one for one in lines if one]


@pytest.fixture
def mine(home: Path) -> Path:
    """A model of the user's own, of three classes."""
    release = replace(
        tiny.release(replace(tiny.GENERATOR, classes=3), "mine"), classes=("Oak", "red fox", "elm")
    )
    write_text(home / "models" / "mine" / "release.json", to_json(replace(release, tokenizer="vae")))
    return home


def test_accelerators_by_name() -> None:
    assert offered("genstudio sample --accel j") == ["jacobi"]


def test_models_by_name_the_users_own_among_them(mine: Path) -> None:
    assert {"mine", "var-fashion", "var-d16"} <= set(offered("genstudio sample "))
    assert offered("genstudio sample mi") == ["mine"]
    assert offered("genstudio models show var-d3") == ["var-d30", "var-d36-512", "var-d30-plain"]
    assert "mine" not in offered("genstudio models pull ")


def test_classes_of_the_default_model_and_of_the_one_on_the_line(mine: Path) -> None:
    assert offered("genstudio sample -c dr") == ["dress"]
    assert offered("genstudio sample mine --class ") == ["oak", "red-fox", "elm"]
    assert "goldfish" in offered("genstudio sample var-d16 -c gold")
    assert offered("genstudio sample -c bag,ank") == ["bag,ankle-boot"]
    assert offered("genstudio sample no-such-model -c ") == []


def test_recipes_and_options() -> None:
    assert offered("genstudio train msvq-f") == ["msvq-fashion"]
    assert offered("genstudio train var-fashion --init msvq-f") == ["msvq-fashion"]
    assert "--max-memory" in offered("genstudio sample --ma")


@pytest.mark.parametrize("model", ["var-fashion", "var-d16"])
def test_every_class_that_is_offered_means_one_class(model: str) -> None:
    names = names_of(catalogue.find(model).classes, catalogue.find(model).config.classes)  # type: ignore[union-attr]
    offers = class_names(SimpleNamespace(params={"model": model}, args=[]), "")  # type: ignore[arg-type]
    assert len(offers) > 0.9 * len(names)
    assert all(len(parse_classes(offer, names)) == 1 for offer in offers)
    assert len({parse_classes(offer, names) for offer in offers}) == len(offers)


def test_the_completion_is_installed_for_bash(tmp_path: Path) -> None:
    lines, torch = _run("--install-completion", "bash", HOME=str(tmp_path), SHELL="/bin/bash")
    assert "completion installed" in " ".join(lines) and torch == "False"
    assert "genstudio" in (tmp_path / ".bashrc").read_text()
    assert "_GENSTUDIO_COMPLETE" in (tmp_path / ".bash_completions" / "genstudio.sh").read_text()
