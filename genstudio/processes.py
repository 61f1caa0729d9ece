"""The processes of one run: `torchrun -m genstudio ...` starts several, everything else starts one.

What a picture is depends on its seed alone, so processes only share out indices; results meet on disk.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # a process may have that much more work left than its neighbours


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's number among all, as torchrun tells it."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_run(cls) -> "Processes":
        """From the environment that torchrun sets."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Every count-th item, from the rank's own on."""
        return items[self.rank :: self.count]

    def wait(self) -> None:
        """Until every process has come to this point."""
        if self.count == 1:
            return
        from torch import distributed

        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=PATIENCE)
        distributed.barrier()

    def leave(self) -> None:
        """Say goodbye to the others."""
        if self.count == 1:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
