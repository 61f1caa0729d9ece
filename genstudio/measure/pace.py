"""Whether an accelerator pays here: its passes, timed while it ran, beside plain ones of the same batch.

Fewer passes are no gain where each costs more: small networks on a CPU, batches that fill the machine. What
plain decoding would take is extrapolated from a few passes of its own, timed in the same process right after
the run; they are its first ones, over a short cache, so that a slight advantage is on its side.
"""

import time
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final, NamedTuple

import torch

from genstudio.events import Advance
from genstudio.measure.machine import synchronise
from genstudio.request import Request
from genstudio.samplers.walk import Step, run
from genstudio.studio import Studio

PASSES: Final = 8  # plain ones that are timed, the first left out


class Pace(NamedTuple):
    """One batch: seconds of a usual pass and of a plain one, how many passes it took, how many a plain run
    takes."""

    seconds: float
    plain_seconds: float
    passes: int
    plain_passes: int

    @property
    def speed(self) -> float:
        """How many times as fast as plain decoding: below 1 the accelerator loses."""
        return self.plain_passes * self.plain_seconds / (self.passes * self.seconds)


@dataclass
class Watch:
    """Hears the advances of a run; of the first batch that is finished it knows the pace."""

    times: list[float] = field(default_factory=list)
    batch: range = range(0)
    codes: int = 0

    def hear(self, event: Advance) -> None:
        """A batch that did not fit into memory begins again."""
        if self.codes and event.batch != self.batch:
            return
        if event.step == 0:
            self.times, self.batch = [], event.batch
        self.times.append(event.seconds)
        self.codes = event.total if event.done == event.total else 0

    def pace(self, studio: Studio, request: Request) -> Pace | None:
        """None where the run was too short to tell, or its batches are those of candidates."""
        if len(self.times) < 2 or not self.codes or request.selection is not None:
            return None
        plain = plain_pass(studio, replace(request, accelerators=()), self.batch)
        steps = request.recipe.steps or self.codes
        return Pace(median(self.times[1:]), plain, len(self.times), steps)


@torch.inference_mode()
def plain_pass(studio: Studio, request: Request, positions: range) -> float:
    """Seconds of a usual pass of the plain walk over these pictures."""
    plan, device = studio.plan(request), studio.runtime.torch_device
    job = studio.job(request, positions, plan)._replace(until=1 + PASSES)
    times: list[float] = []
    start = time.perf_counter()
    for step in run(plan.walk, job):
        if isinstance(step, Step):
            synchronise(device)
            times.append(time.perf_counter() - start)
            start = time.perf_counter()
    return median(times[1:])
