"""A run on disk: one file that is replaced as a whole, read without executing anything.

A kill at any moment leaves the last complete checkpoint. A run goes on only with equal numbers: the recipe,
and fingerprints of the pictures and tokenizer that it reads.
"""

import pickle
from pathlib import Path
from typing import Any

import torch

from genstudio.errors import Exit, GenstudioError
from genstudio.files import atomic

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state (tensors and plain values) atomically and durably."""
    with atomic(folder / NAME) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last complete state on the CPU, or None where a run has not got that far. Leftovers of kills are
    removed."""
    for part in folder.glob(f".{NAME}.*.part"):
        part.unlink(missing_ok=True)
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise GenstudioError(
            f"{path} is damaged and cannot be read.",
            "Remove it to start that run again, or choose another --output.",
            Exit.WEIGHTS,
        ) from error
    return state


def check_same_run(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises GenstudioError naming the keys that differ between the run in the folder and the one asked."""
    differing = sorted(key for key, value in now.items() if before.get(key) != value)
    if not differing:
        return
    shown = ", ".join(f"{key} ({before.get(key)} there, {now.get(key)} now)" for key in differing[:4])
    more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
    raise GenstudioError(
        f"{folder} holds a run with another recipe; these keys differ: {shown}{more}.",
        "Choose another --output, or give the same recipe to go on.",
    )
