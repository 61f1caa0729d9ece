"""What a teacher makes for its student, in shards: files that are whole or not there.

A job that was stopped anywhere goes on with the shards that are missing, and any number of processes share
them out. Each file says which lessons it belongs to and the hash of its tensors.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.files import atomic
from genstudio.processes import Processes
from genstudio.training.loop import interruptible

SIZE: Final = 1024  # examples of a shard
ABOUT: Final = "genstudio"

Tensors = dict[str, Tensor]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shards:
    """Examples 0 to `count` in a folder, `size` to a file; `reads` are the fingerprints of everything that
    decides their numbers. Example i has to be the same whatever the shard that it is in."""

    folder: Path
    reads: Mapping[str, str]
    count: int
    size: int = SIZE

    @property
    def lessons(self) -> str:
        """What tells these examples from others."""
        return lessons_of(self.reads)

    @property
    def ranges(self) -> tuple[range, ...]:
        """The examples of every shard."""
        starts = range(0, self.count, self.size)
        return tuple(range(start, min(start + self.size, self.count)) for start in starts)

    def path(self, part: range) -> Path:
        """The file of these examples."""
        return self.folder / f"{part.start:08d}-{part.stop:08d}.safetensors"

    def done(self) -> int:
        """Examples that are there."""
        return sum(len(part) for part in self.ranges if self.path(part).is_file())

    def make(
        self,
        build: Callable[[range], Tensors],
        processes: Processes = Processes(),
        report: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Build the shards that are missing. All processes have to come here, and each takes its share.

        `report` hears how many examples are there. The first Ctrl-C stops all processes behind the shard they
        are at: raises GenstudioError (exit code 130). A shard is written as a whole or not at all.
        """
        with interruptible() as stop:
            for first in range(0, len(self.ranges), processes.count):
                for part in self.ranges[first + processes.rank : first + processes.rank + 1]:
                    if not self.path(part).is_file():
                        self._write(part, build(part))
                report(self.done())
                if processes.any(stop.asked) and self.done() < self.count:
                    raise GenstudioError(
                        f"Interrupted: {self.done()} of {self.count} examples are in {self.folder}.",
                        "Run the same command again to go on.",
                        Exit.INTERRUPTED,
                    )

    def read(self) -> Tensors:
        """All examples, on the CPU. Raises GenstudioError (exit code 3) for a damaged or foreign shard."""
        parts = [self._read(part) for part in self.ranges]
        return {name: torch.cat([tensors[name] for tensors in parts]) for name in parts[0]}

    def _write(self, part: range, tensors: Tensors) -> None:
        about = {"lessons": self.lessons, "sha256": _digest(tensors)}
        with atomic(self.path(part)) as temporary:
            save_file(tensors, temporary, {ABOUT: json.dumps(about)})

    def _read(self, part: range) -> Tensors:
        path = self.path(part)
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise _broken(path, "is damaged") from error
        if about.get("lessons") != self.lessons:
            found = about.get("lessons", "none")
            raise _broken(path, f"belongs to other lessons ({found}, these are {self.lessons})")
        if about.get("sha256") != _digest(tensors):
            raise _broken(path, "does not hold the numbers that were written")
        return tensors


def lessons_of(reads: Mapping[str, str]) -> str:
    """32 hex digits that change when anything does that the examples depend on."""
    return hashlib.sha256(json.dumps(dict(reads), sort_keys=True).encode()).hexdigest()[:32]


def _broken(path: Path, what: str) -> GenstudioError:
    return GenstudioError(f"The shard {path} {what}.", "Remove it: it is made again.", Exit.WEIGHTS)


def _digest(tensors: Tensors) -> str:
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
