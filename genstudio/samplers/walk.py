"""Walks, and the one generator that turns any of them into a stream of steps.

A walk is an object with `start`, `advance` (one unit for every live row) and `codes`; its state is a value,
so it can be joined, split or driven by two networks. Progress, previews, cancelling and statistics come from
`run`, for every method. Walks know no pixels, no files and no command line.
"""

import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor

from genstudio.cache.protocol import Cache
from genstudio.samplers.draws import Draws
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Codes, Given, Trace, Unit

State = TypeVar("State", bound="Progress")
CacheMaker = Callable[[int, int, int], Cache]


class Job(NamedTuple):
    """What is to be made: B pictures, each with its own condition and seed.

    `cache(rows, capacity, look)` makes the store (see `CacheSpec`); `until` stops after that many units;
    `always_null` runs the null rows where their weight is 0 too (recorded runs hold them); `trace` is told
    named intermediates.
    """

    given: Given
    seed_B: Tensor
    recipe: Recipe
    draws: Draws
    cache: CacheMaker
    until: int | None = None
    always_null: bool = False
    trace: Trace | None = None

    @property
    def batch(self) -> int:
        """Number of pictures."""
        return self.seed_B.shape[0]

    def weight(self, unit: Unit) -> float:
        """The weight of guidance for a unit; 1 is the condition alone."""
        guidance = self.recipe.guidance
        return 1.0 if guidance is None else guidance.weight(unit.progress, unit.made.start)


class Progress(Protocol):
    """What `run` reads of a state: finished codes of the slowest row, whether all is done, statistics."""

    @property
    def done(self) -> int: ...
    @property
    def finished(self) -> bool: ...
    @property
    def stats(self) -> dict[str, float]: ...


class Walk(Protocol[State]):
    """A way through an order. `total` counts the codes of a complete picture."""

    @property
    def total(self) -> int: ...
    def start(self, job: Job) -> State: ...
    def advance(self, state: State) -> None: ...
    def codes(self, state: State) -> Codes: ...


class Step(NamedTuple):
    """One unit is made. `preview()` gives the codes known now; it is valid until the next step."""

    done: int
    total: int
    stats: dict[str, float]
    preview: Callable[[], Codes]


class Done(NamedTuple):
    """The end of a walk: all codes."""

    codes: Codes
    stats: dict[str, float]


def run(walk: Walk[State], job: Job) -> Iterator[Step | Done]:
    """Drive a walk to its end: a `Step` per unit, then one `Done`. Closing it leaves no state anywhere."""
    state = walk.start(job)
    preview = partial(_known, walk, weakref.ref(state))
    while not state.finished:
        walk.advance(state)
        yield Step(state.done, walk.total, dict(state.stats), preview)
    done = Done(walk.codes(state), dict(state.stats))
    del state  # and with it the cache, before the codes are decoded
    yield done


def timed(steps: Iterator[Step | Done]) -> Iterator[tuple[Step | Done, float]]:
    """Each with the seconds that it took, in which whoever reads them has no part."""
    while True:
        start = time.perf_counter()
        try:
            step = next(steps)
        except StopIteration:
            return
        yield step, time.perf_counter() - start


def _known(walk: Walk[State], state: weakref.ref[State]) -> Codes:
    """The codes of a state that is still walked: a preview that somebody keeps must not keep the cache."""
    walked = state()
    if walked is None:
        raise RuntimeError("A preview is valid until the next step.")
    return walk.codes(walked)
