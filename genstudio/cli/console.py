"""What commands say while they work: progress and notes on stderr, results alone on stdout.

On a terminal a bar; elsewhere a plain line every few seconds, so that logs stay readable; nothing if quiet.
"""

import json
import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_SECONDS = 10.0


def emit(data: dict[str, Any]) -> None:
    """The result of a command as the only JSON on stdout; infinities and NaN, which JSON lacks, are null."""
    print(json.dumps(_finite(data), ensure_ascii=False, allow_nan=False))


def note(text: str, quiet: bool = False) -> None:
    """A line on stderr."""
    if not quiet:
        print(text, file=sys.stderr)


class Meter:
    """Progress of a run in pictures or another unit (fractions count), with speed and memory."""

    def __init__(self, title: str, total: int, quiet: bool = False, unit: str = "images") -> None:
        self.title, self.total, self.quiet, self.unit = title, total, quiet, unit
        self.done = self.before = 0.0
        self.stands = ""
        self.started = self.spoke = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if not self.quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, facts="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def skip(self, done: float) -> None:
        """Say that an earlier run made `done` pictures already; they do not count as speed."""
        self.before = done
        self.reach(done)

    def reach(self, done: float, stands: str = "") -> None:
        """Say that `done` pictures of the total are made, and how something `stands`."""
        self.done, self.stands = done, stands
        if self._bar is not None:
            self._bar.update(self._task, completed=done, facts=self._facts())
        elif not self.quiet and time.monotonic() - self.spoke > PLAIN_SECONDS:
            self.spoke = time.monotonic()
            note(self.line())

    def line(self) -> str:
        """All of it in words."""
        return f"{self.title}: {self.done:.0f} of {self.total}{self._left()}, {self._facts()}"

    def _left(self) -> str:
        left, speed = self.total - self.done, self._speed()
        return f", {spell(left / speed)} left" if left > 0 and speed > 0 else ""

    def _facts(self) -> str:
        facts = f"{self._speed():.2f} {self.unit}/s, {memory_mb():,.0f} MB"
        return f"{facts}, {self.stands}" if self.stands else facts

    def _speed(self) -> float:
        return (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value


def spell(seconds: float) -> str:
    """A time for people: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def memory_mb() -> float:
    """Resident memory of this process."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[facts]}"), console=Console(stderr=True))
