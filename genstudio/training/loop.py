"""The training loop: one deterministic step after another, saved as a value, going on where it stopped.

A step depends on the state before it and on the step's number alone: data order, flips and dropped labels
are keyed draws, so a run that was killed anywhere ends with the weights of one that never was (bit-identical
on the CPU in float32). Several processes take parts of the same steps; the first one keeps the files.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from genstudio.errors import Exit, GenstudioError
from genstudio.processes import Processes
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.training.checkpoint import check_same_run, load_checkpoint, save_checkpoint
from genstudio.training.learner import Learner
from genstudio.training.metrics import Log, OpenBoard, Silence, Window, plain
from genstudio.training.objectives.base import Batch, Objective
from genstudio.training.optimizer import learning_rate
from genstudio.training.positions import Positions, parts
from genstudio.training.recipe import TrainingRecipe


class Status(NamedTuple):
    """Where a run stands; `record` is the last line of its metrics."""

    step: int
    total: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on: none of it changes a number. `draw` saves what the objective has to show; `say` hears of
    what happens beside the steps."""

    report: Callable[[Status], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    draw: Callable[[Path, Tensor], None] | None = None
    board: OpenBoard | None = None


@dataclass(slots=True)
class Stop:
    """Whether Ctrl-C was pressed, or SIGTERM sent."""

    asked: bool = field(default=False)


class Loop:
    """One run in one folder. Every process of the run has one; the first writes the files."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        objective: Objective,
        folder: Path,
        device: torch.device,
        watch: Watch,
        processes: Processes = Processes(),
        weight_N: Tensor | None = None,
    ) -> None:
        """Build the state, or take it from the folder's checkpoint, which must be of the same run. `weight_N`
        says how often examples are seen beside each other."""
        self.recipe, self.objective, self.folder, self.device = recipe, objective, folder, device
        self.watch, self.processes, self.total, self.step = watch, processes, recipe.run.total, 0
        self.seconds, self.window, self.record = 0.0, Window(), dict[str, Any]()
        self.draws = KeyedDraws()
        self.positions = Positions(self.draws, recipe.run.seed, objective.examples, weight_N)
        self.parts = parts(recipe.run.batch, recipe.run.accumulate, processes)
        saved = self._resume()
        self.learner = Learner(recipe, objective, device, processes, saved)

    def run(self) -> dict[str, float]:
        """Train to the end; returns what held-out examples say of the released network (eval mode, float32),
        to the first process.

        Ctrl-C and SIGTERM save and raise GenstudioError with exit code 130, in all processes after one step.
        """
        log = Log(self.folder, self.step, self.watch.board) if self.processes.first else Silence()
        try:
            with interruptible() as stop:
                self._train(log, stop)
            network = self.learner.released()
            if not self.processes.first:
                return {}
            found = self.objective.evaluate(network)
            log.write({"step": self.step, **found})
        finally:
            log.close()
        return found

    def _train(self, log: Log | Silence, stop: Stop) -> None:
        saved, logged, every = self.step, (self.step, self.seconds), self.recipe
        started = time.monotonic() - self.seconds
        while self.step < self.total:
            rate = self.advance()
            self.seconds = time.monotonic() - started
            if _due(self.step, every.log.every) or self.step == self.total:
                speed = (self.step - logged[0]) * every.run.batch / (self.seconds - logged[1])
                logged = (self.step, self.seconds)
                self._write(log, rate, speed)
            if _due(self.step, every.sample.every):
                self._draw()
            if _due(self.step, every.save.every) or self.step == self.total:
                self._save()
                saved = self.step
            self.watch.report(Status(self.step, self.total, self.record))
            if self.processes.any(stop.asked) and self.step < self.total:
                self._interrupt(saved)

    def advance(self) -> float:
        """One step of the optimizer; returns its learning rate.

        Passes that do not fit into memory are made again with fewer pictures each, and so are those of all
        later steps: the mean over them is the same up to rounding.
        """
        rate = learning_rate(self.recipe.optimizer, self.step, self.total)
        while (said := self.learner.gradients(passes := self._passes())) is None:
            self._lessen()
        self._refuse_nan(said)
        self.learner.update(rate)
        self.learner.rewrite(self.objective.after_step(passes[-1], said.counts))
        self.window.merge(said)
        self.step += 1
        return rate

    def _lessen(self) -> None:
        """Take at most half as many pictures into one pass, in all processes."""
        batch, count, passes = self.recipe.run.batch, self.processes.count, len(self.parts)
        each = batch // (passes * count)
        more = next((n for n in range(2 * passes, batch + 1) if batch % (n * count) == 0), None)
        if more is None:
            raise GenstudioError(
                f"The device ran out of memory with {each} pictures in one pass, and fewer do not divide.",
                "Try --dtype bf16, another --batch, or a smaller network.",
                Exit.MEMORY,
            )
        self.parts = parts(batch, more, self.processes)
        self.watch.say(
            f"Out of memory with {each} pictures in one pass: going on with {batch // more // count}."
        )

    def _passes(self) -> list[Batch]:
        """This process's part of the step."""
        run, progress = self.recipe.run, self.step / self.total
        index_S, epoch_S, number_S = self.positions.take(self.step * run.batch, run.batch)
        place_S2 = torch.stack([epoch_S, number_S], dim=1)
        passes = []
        for rows in self.parts:
            place_B2 = place_S2[rows].to(self.device)
            at = At(torch.full_like(place_B2[:, 0], run.seed), place_B2)
            passes.append(Batch(self.step, progress, index_S[rows], at, self.draws, index_S, self.processes))
        return passes

    def _refuse_nan(self, said: Window) -> None:
        if not said.finite():
            raise GenstudioError(
                f"The loss or its gradient is not a number any more at step {self.step + 1}.",
                f"Lower --lr or set optimizer.clip; the last checkpoint is kept in {self.folder}.",
                Exit.CHECK,
            )

    def _write(self, log: Log | Silence, rate: float, speed: float) -> None:
        derived = self.objective.derive(self.window.counts) if self.window.counts else {}
        self.record = {
            "step": self.step,
            "pictures": self.step * self.recipe.run.batch,
            "lr": rate,
            **plain(self.window.means()),
            **plain(derived),
            "images_per_s": round(speed, 1),
            "minutes": round(self.seconds / 60, 2),
        }
        log.write(self.record)
        self.window = Window()

    def _draw(self) -> None:
        network = self.learner.released()
        if self.watch.draw is None or not self.processes.first:
            return
        with torch.no_grad():
            picture = self.objective.picture(network)
        if picture is not None:
            self.watch.draw(self.folder / "samples" / f"step-{self.step:07d}.png", picture)

    def _interrupt(self, saved: int) -> None:
        if saved < self.step:
            self._save()
        raise GenstudioError(
            f"Interrupted at step {self.step} of {self.total}; {self.folder} holds everything.",
            "Run the same command again to go on.",
            Exit.INTERRUPTED,
        )

    def _save(self) -> None:
        state = {
            "numbers": self._numbers(),
            "step": self.step,
            "passes": len(self.parts),
            "seconds": self.seconds,
            **self.learner.state(),
            "objective": self.objective.state(),
            "window": self.window.state(),
            "record": self.record,
        }
        if self.processes.first:
            save_checkpoint(self.folder, state)
        self.processes.wait()  # torchrun stops all as soon as one leaves; the writer has to be through

    def _resume(self) -> dict[str, Any] | None:
        """Take the loop's own part of a checkpoint, and return all of it."""
        state = load_checkpoint(self.folder)
        step_P = self.processes.joined(torch.tensor([state["step"] if state else -1]))
        if len(step_P.unique()) > 1:
            raise GenstudioError(
                f"The processes see different checkpoints in {self.folder}.",
                "Give an --output that all machines share.",
            )
        if state is None:
            return None
        check_same_run(self.folder, state["numbers"], self._numbers())
        self.step, self.seconds, self.record = state["step"], state["seconds"], state["record"]
        self.objective.restore(state["objective"])
        passes = state.get("passes", self.recipe.run.accumulate)
        if self.recipe.run.batch % (passes * self.processes.count) == 0:
            self.parts = parts(self.recipe.run.batch, passes, self.processes)
        self.window.restore(tree_map_only(Tensor, lambda value: value.to(self.device), state["window"]))
        return state

    def _numbers(self) -> dict[str, Any]:
        return {**self.recipe.numbers(), **self.objective.reads}


@contextmanager
def interruptible() -> Iterator[Stop]:
    """The first Ctrl-C, or SIGTERM, asks for a stop after the running step; a second Ctrl-C stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.asked = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
