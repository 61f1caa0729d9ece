"""Codes that a teacher makes, by number: in pieces that fit into memory, kept in shards, shared by processes.

Shapes: B pictures of a piece, N in all, L codes of a picture.
"""

import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from genstudio.distillation.pieces import Make, Pieces
from genstudio.distillation.shards import Shards, Tensors
from genstudio.processes import Processes
from genstudio.training.rehearsal import Rehearsal

TOGETHER: Final = 128  # pictures at a time
TRIED: Final = 8  # pictures of a rehearsal

Say = Callable[[str], None]


def gathered(
    make: Make,
    first: int,
    shards: Shards,
    what: str,
    say: Say,
    processes: Processes,
    rehearsal: Rehearsal | None,
) -> Tensor:
    """The codes [N,L] of all examples of the shards, whose numbers begin at `first`: made where they are
    missing, or stood in for. `make` takes numbers [B] and gives codes [B,L] on the CPU; `what` names them.

    Raises GenstudioError for a damaged or foreign shard, a full disk, too little memory, and Ctrl-C: nothing
    is lost.
    """
    pieces = Pieces(TOGETHER, say)

    def build(part: range) -> Tensors:
        return {"ids": pieces(make, torch.arange(first + part.start, first + part.stop))}

    before = shards.done()
    if rehearsal is not None and before < shards.count:
        return rehearsal.stand_in(lambda count: build(range(count)), TRIED, shards.count)["ids"]
    say(f"{shards.count} {what}, {before} of them made before")
    shards.make(build, processes, _telling(shards.count, before, say))
    return shards.read()["ids"]


def _telling(count: int, before: int, say: Say) -> Callable[[int], None]:
    """How far it is, and how long the others will take, whenever shards were made."""
    started = time.monotonic()

    def tell(done: int) -> None:
        if before < done < count:
            minutes = (time.monotonic() - started) / 60 * (count - done) / (done - before)
            say(f"{done} of {count}, {minutes:.1f} minutes left")

    return tell
