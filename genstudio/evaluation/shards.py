"""A scoring run on disk: a manifest, and one file per batch with what the extractor saw.

Features lie on disk and not in memory, so that 50,000 pictures cost no more than 500; a batch is there whole
or not at all, so that a run may be killed at any moment; processes need nothing but the folder to share work.
Shapes: N pictures of a batch, D features, K classes, S spatial features, P bytes of a hash.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.files import atomic, write_text

MANIFEST = "manifest.json"
ABOUT = "genstudio.shard"
HASHES = "hashes"
HASH_BYTES = 32


class Facts(NamedTuple):
    """What a batch cost, and the files that were left out of it."""

    seconds: float
    left_out: tuple[str, ...]


class Shards:
    """The batches of `total` pictures, `size` at a time, below `folder`.

    `plan` is everything that decides what picture i is, and the batch, but not how many there are: a run can
    also be made longer. Raises GenstudioError when the folder holds a run of another plan.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], total: int, size: int) -> None:
        self.folder = folder
        self.ranges = [range(start, min(start + size, total)) for start in range(0, total, size)]
        self._check(plan)
        self.key = key_of(plan)

    def has(self, at: range) -> bool:
        """Whether that batch is done: its file can be read and belongs to this run."""
        try:
            with safe_open(self._path(at), framework="pt") as file:
                return bool(json.loads(file.metadata()[ABOUT])["run"] == self.key)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return False

    def write(self, at: range, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Keep a batch, atomically. Raises GenstudioError for a full or closed disk."""
        about = {"run": self.key, "seconds": facts.seconds, "left_out": facts.left_out}
        content = serialise(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, {ABOUT: json.dumps(about)}
        )
        with atomic(self._path(at)) as temporary:
            temporary.write_bytes(content)

    def read(self, name: str, until: int | None = None) -> Iterator[Tensor]:
        """A tensor of every batch in order, or of those that end at picture `until` or before."""
        for at in self._until(until):
            yield self.one(at, name)

    def one(self, at: range, name: str) -> Tensor:
        """A tensor of one batch."""
        with safe_open(self._path(at), framework="pt") as file:
            return file.get_tensor(name)

    def names(self) -> set[str]:
        """What is kept of a batch."""
        with safe_open(self._path(self.ranges[0]), framework="pt") as file:
            return set(file.keys())

    def facts(self, until: int | None = None) -> list[Facts]:
        """What every batch cost."""
        found = []
        for at in self._until(until):
            with safe_open(self._path(at), framework="pt") as file:
                about = json.loads(file.metadata()[ABOUT])
            found.append(Facts(float(about["seconds"]), tuple(about["left_out"])))
        return found

    def digest(self, until: int | None = None) -> str:
        """One hash of all pictures in order, whatever the batches were."""
        total = hashlib.sha256()
        for hashes_NP in self.read(HASHES, until):
            total.update(hashes_NP.numpy().tobytes())
        return total.hexdigest()

    def _until(self, until: int | None) -> list[range]:
        return [at for at in self.ranges if until is None or at.stop <= until]

    def _path(self, at: range) -> Path:
        return self.folder / "shards" / f"{at.start:08d}-{at.stop:08d}.safetensors"

    def _check(self, plan: Mapping[str, Any]) -> None:
        path = self.folder / MANIFEST
        if path.is_file():
            differing = _differing(_read(path), json.loads(json.dumps(plan)))
            if differing:
                raise GenstudioError(
                    f"{self.folder} holds another run: {', '.join(differing)} differ.",
                    "Resume with the options of that run, or choose another folder.",
                )
        else:
            write_text(path, json.dumps(plan, indent=2) + "\n")


def key_of(plan: Mapping[str, Any]) -> str:
    """A hash of everything that decides a run."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def hashes(pixels_NCHW: Tensor) -> Tensor:
    """The sha256 of every picture's levels, uint8 [N,P]."""
    each = [
        list(hashlib.sha256(pixels_CHW.numpy().tobytes()).digest()) for pixels_CHW in pixels_NCHW.contiguous()
    ]
    return torch.tensor(each, dtype=torch.uint8).view(len(each), HASH_BYTES)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise GenstudioError(
            f"{path} cannot be read ({error}).", "Remove the folder and start again."
        ) from error


def _differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
