"""How long a batch takes, by the loop that `sample` runs and nothing else, after a warm-up.

Writing files is left out, loading too. Shapes: none; times in seconds.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from genstudio.events import Advance
from genstudio.measure.machine import Others, synchronise
from genstudio.measure.memory import PeakMemory
from genstudio.request import Request
from genstudio.samplers.accelerators import Accelerator
from genstudio.samplers.recipe import Recipe
from genstudio.studio import Studio


class Spread(NamedTuple):
    """The median of several runs, and the lowest and highest of them."""

    median: float
    low: float
    high: float


class Run(NamedTuple):
    """One batch: seconds until all and until the first of its pictures were there, and until their codes
    were; steps and codes each; what the walk counted."""

    seconds: float
    first: float
    walked: float
    steps: int
    codes: int
    stats: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A batch size at one studio. `peak_bytes` is memory above that of the loaded models, seen in the last
    run of the warm-up; `others` is the share of the machine that other processes used, warm-up included."""

    batch: int
    warm_up: tuple[Run, ...]
    runs: tuple[Run, ...]
    peak_bytes: int
    others: float

    @property
    def first_image(self) -> Spread:
        """Seconds until the first picture of the batch is there."""
        return spread([run.first for run in self.runs])

    @property
    def image(self) -> Spread:
        """Seconds per picture."""
        return spread([run.seconds / self.batch for run in self.runs])

    @property
    def step(self) -> Spread:
        """Seconds per step of the walk."""
        return spread([run.walked / run.steps for run in self.runs])

    @property
    def images_per_second(self) -> Spread:
        """Pictures per second."""
        return spread([self.batch / run.seconds for run in self.runs])

    @property
    def tokens_per_second(self) -> Spread:
        """Codes per second, over all pictures of the batch."""
        return spread([self.batch * run.codes / run.seconds for run in self.runs])


def measure(
    studio: Studio,
    recipe: Recipe,
    batch: int,
    *,
    accelerators: tuple[Accelerator, ...] = (),
    runs: int = 5,
    warm_up: int = 1,
) -> Timing:
    """Sample the same `batch` pictures again and again: `warm_up` (1 or more) times unwatched by the clock,
    then `runs` times."""
    request = Request(
        model=studio.release.name,
        pictures=studio.any_pictures(batch),
        recipe=recipe,
        batch=batch,
        accelerators=accelerators,
    )
    others = Others()
    before = [_run(studio, request) for _ in range(warm_up - 1)]
    with PeakMemory(studio.runtime.torch_device) as peak:
        before.append(_run(studio, request))
    timed = tuple(_run(studio, request) for _ in range(runs))
    return Timing(
        batch=batch, warm_up=tuple(before), runs=timed, peak_bytes=peak.bytes, others=others.share()
    )


def spread(values: list[float]) -> Spread:
    """Median, lowest and highest."""
    return Spread(median(values), min(values), max(values))


def _run(studio: Studio, request: Request) -> Run:
    device = studio.runtime.torch_device
    steps = codes = 0
    walked, stats = 0.0, dict[str, float]()
    first: float | None = None
    synchronise(device)
    start = time.perf_counter()
    for event in studio.stream(request):
        if isinstance(event, Advance):
            steps, codes, stats = steps + 1, event.total, dict(event.stats)
            if event.done == event.total:
                synchronise(device)
                walked = time.perf_counter() - start
        elif first is None:
            first = time.perf_counter() - start
    synchronise(device)
    seconds = time.perf_counter() - start
    return Run(seconds, seconds if first is None else first, walked, steps, codes, stats)
