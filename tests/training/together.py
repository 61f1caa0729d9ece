"""What every process of a run of several does: train one recipe after the other, then obey a command.

Started by torchrun with a list in JSON. `press` sends a signal to one of the processes behind a step.
Processes that are not the first have no right to encode pictures or to replace files; the first notes what
every step said.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.processes import Processes
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from genstudio.training import loop
from genstudio.training.learner import Learner
from genstudio.training.loop import Status
from genstudio.training.metrics import Window
from genstudio.training.objectives.base import Batch
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.run import train
from tests.support import genstudio

CPU = torch.device("cpu")


def main() -> None:
    torch.set_num_threads(1)
    processes = Processes.of_this_run()
    if not processes.first:
        Path.replace = refuse
        MultiScaleVQ.encode = refuse
    *jobs, last = json.loads(sys.argv[1])
    for job in jobs:
        folder, recipe = Path(job["folder"]), TrainingRecipe.model_validate(job["recipe"])
        try:
            train_noting(recipe, folder, pressing(job["press"], processes), processes)
            said = "done"
        except GenstudioError as error:
            said = f"{int(error.code)} {error.message}"
        with (folder / f"said-{processes.rank}.txt").open("a") as file:
            file.write(said + "\n")
    ran = genstudio(*last["words"])
    (Path(last["folder"]) / f"ran-{processes.rank}.json").write_text(json.dumps(ran._asdict()))


def refuse(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("the first process alone does this")


def pressing(press: dict[str, Any] | None, processes: Processes) -> Callable[[Status], None]:
    """A watcher that sends a signal to its own process, if it is the one, behind a step."""

    def report(status: Status) -> None:
        if press and (status.step, processes.rank) == (press["step"], press["rank"]):
            os.kill(os.getpid(), signal.Signals[press["signal"]])

    return report


def train_noting(
    recipe: TrainingRecipe,
    folder: Path,
    report: Callable[[Status], None] = lambda _: None,
    processes: Processes = Processes(),
) -> None:
    """Train, and keep what every step says to the last digit: metrics are rounded."""

    class Noting(Learner):
        def gradients(self, passes: Sequence[Batch]) -> Window:
            said = super().gradients(passes)
            if processes.first:
                with (folder / "notes.jsonl").open("a") as file:
                    parts = {**said.means(), **said.counts}
                    values = {name: value.tolist() for name, value in parts.items()}
                    file.write(json.dumps({"step": passes[0].step, **values}) + "\n")
            return said

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "Learner", Noting)
        train(recipe, folder, CPU, processes=processes, report=report)


def notes(folder: Path) -> list[dict[str, Any]]:
    """What every step of a run said, by the last one who made it."""
    found = map(json.loads, (folder / "notes.jsonl").read_text().splitlines())
    return list({note["step"]: note for note in found}.values())


if __name__ == "__main__":
    main()
