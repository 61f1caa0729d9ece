"""The training loop: one deterministic step after another, saved as a value, going on where it stopped.

A step depends on the state before it and on the step's number alone: data order, flips and dropped labels
are keyed draws, so a run that was killed anywhere ends with the weights of one that never was (bit-identical
on the CPU in float32). bf16 is autocast around `objective.losses`; weights and optimizer stay float32.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from genstudio.errors import Exit, GenstudioError
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.training.checkpoint import check_same_run, load_checkpoint, save_checkpoint
from genstudio.training.metrics import Log, OpenBoard, Window, plain
from genstudio.training.objectives.base import Batch, Objective
from genstudio.training.optimizer import averaged, build_optimizer, learning_rate, rewrite
from genstudio.training.positions import Positions
from genstudio.training.recipe import TrainingRecipe


class Status(NamedTuple):
    """Where a run stands; `record` is the last line of its metrics."""

    step: int
    total: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on: none of it changes a number. `draw` saves what the objective has to show."""

    report: Callable[[Status], None] = lambda _: None
    draw: Callable[[Path, Tensor], None] | None = None
    board: OpenBoard | None = None


@dataclass(slots=True)
class Stop:
    """Whether Ctrl-C was pressed."""

    asked: bool = field(default=False)


class Loop:
    """One run in one folder."""

    def __init__(
        self, recipe: TrainingRecipe, objective: Objective, folder: Path, device: torch.device, watch: Watch
    ) -> None:
        """Build the state, or take it from the folder's checkpoint, which must be of the same run."""
        self.recipe, self.objective, self.folder, self.device = recipe, objective, folder, device
        self.watch, self.total, self.step, self.seconds = watch, recipe.run.total, 0, 0.0
        modules = [objective.network, *objective.helpers.values()]
        self.optimizer = build_optimizer(modules, recipe.optimizer, objective.undecayed)
        self.average = averaged(objective.network, recipe.run.ema) if recipe.run.ema else None
        self.window, self.draws, self.record = Window(), KeyedDraws(), dict[str, Any]()
        self.positions = Positions(self.draws, recipe.run.seed, objective.examples)
        self._resume()

    @property
    def released(self) -> nn.Module:
        """The network that the run is about: the average where one is kept."""
        return self.objective.network if self.average is None else self.average.module

    def run(self) -> dict[str, float]:
        """Train to the end; returns what held-out examples say of the released network (eval mode, float32).

        Ctrl-C saves and raises GenstudioError with exit code 130.
        """
        log = Log(self.folder, self.step, self.watch.board)
        try:
            with interruptible() as stop:
                self._train(log, stop)
            found = self.objective.evaluate(self.released.eval())
            log.write({"step": self.step, **found})
        finally:
            log.close()
        return found

    def _train(self, log: Log, stop: Stop) -> None:
        saved, logged, every = self.step, (self.step, self.seconds), self.recipe
        started = time.monotonic() - self.seconds
        while self.step < self.total:
            rate = self._advance()
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
            if stop.asked and self.step < self.total:
                self._interrupt(saved)

    def _advance(self) -> float:
        """One step of the optimizer; returns its learning rate."""
        run, rate = self.recipe.run, learning_rate(self.recipe.optimizer, self.step, self.total)
        self.objective.network.train()
        self.optimizer.zero_grad()
        total, batch = torch.zeros((), device=self.device), None
        for batch in self._passes():
            with lowered(self.device) if run.precision == "bf16" else nullcontext():
                losses = self.objective.losses(batch)
            torch.autograd.backward(losses.total / run.accumulate)
            total += losses.total.detach()
            self.window.add(losses.parts, losses.counts, 1 / run.accumulate)
        norm = self._clip()
        self._refuse_nan(total + norm)
        self.window.add({"grad_norm": norm}, {}, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.objective.network)
        assert batch is not None
        for change in self.objective.after_step(batch):
            average = None if self.average is None else self.average.module
            rewrite(change, self.objective.network, average, self.optimizer)
        self.step += 1
        return rate

    def _passes(self) -> Iterator[Batch]:
        run = self.recipe.run
        index_B, epoch_B = self.positions.take(self.step * run.batch, run.batch)
        seed_B = torch.full_like(index_B, run.seed)
        size = run.batch // run.accumulate
        for part in range(run.accumulate):
            rows = slice(part * size, (part + 1) * size)
            place_B2 = torch.stack([epoch_B[rows], index_B[rows]], dim=1).to(self.device)
            at = At(seed_B[rows].to(self.device), place_B2)
            yield Batch(self.step, self.step / self.total, index_B[rows], at, self.draws)

    def _clip(self) -> Tensor:
        """Clip the gradients of each network by itself; returns the main network's norm."""
        limit = self.recipe.optimizer.clip or float("inf")
        for helper in self.objective.helpers.values():
            nn.utils.clip_grad_norm_(helper.parameters(), limit)
        return nn.utils.clip_grad_norm_(self.objective.network.parameters(), limit)

    def _refuse_nan(self, value: Tensor) -> None:
        if not torch.isfinite(value):
            raise GenstudioError(
                f"The loss or its gradient is not a number any more at step {self.step + 1}.",
                f"Lower --lr or set optimizer.clip; the last checkpoint is kept in {self.folder}.",
                Exit.CHECK,
            )

    def _write(self, log: Log, rate: float, speed: float) -> None:
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
        if self.watch.draw is None:
            return
        training = self.released.training
        with torch.no_grad():
            picture = self.objective.picture(self.released.eval())
        self.released.train(training)
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
        modules = {"network": self.objective.network, **self.objective.helpers}
        state = {
            "numbers": self._numbers(),
            "step": self.step,
            "seconds": self.seconds,
            "modules": {name: module.state_dict() for name, module in modules.items()},
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state(),
            "window": self.window.state(),
            "record": self.record,
        }
        save_checkpoint(self.folder, state)

    def _resume(self) -> None:
        state = load_checkpoint(self.folder, self.device)
        if state is None:
            return
        check_same_run(self.folder, state["numbers"], self._numbers())
        self.step, self.seconds, self.record = state["step"], state["seconds"], state["record"]
        for name, module in {"network": self.objective.network, **self.objective.helpers}.items():
            module.load_state_dict(state["modules"][name])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.restore(state["objective"])
        self.window.restore(state["window"])

    def _numbers(self) -> dict[str, Any]:
        return {**self.recipe.numbers(), **self.objective.reads}


@contextmanager
def lowered(device: torch.device) -> Iterator[None]:
    """bf16 autocast. On a CPU attention takes its plain form: the fused bf16 backward is twice as slow."""
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16), plain:
        yield


@contextmanager
def interruptible() -> Iterator[Stop]:
    """The first Ctrl-C asks for a stop after the running step; a second one stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
