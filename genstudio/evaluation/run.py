"""From a source of pictures to features on disk, batch by batch, in one process or many, killed or not.

The engine of `eval-fid` and `compare`: a batch is taken, hashed, looked at by the extractor, and kept; what
is there already is not made again. Scores are computed from the kept features alone (`scores`).
Shapes: N pictures of a batch.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.evaluation.extractor import Extractor, Features
from genstudio.evaluation.shards import HASHES, Facts, Shards, hashes
from genstudio.evaluation.sources import Source, Taken
from genstudio.media.png import save_png
from genstudio.processes import Processes

PREVIEWED = 100  # the first so many pictures are kept for a grid
PIXELS, LABELS, POOL, LOGITS, SPATIAL, ATTRIBUTES = (
    "pixels",
    "labels",
    "pool",
    "logits",
    "spatial",
    "attributes",
)


class Progress(NamedTuple):
    """`done` pictures (fractions count) of this process's share of `total`; features of a batch just done."""

    done: float
    total: int
    pool_ND: Tensor | None = None


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """Who looks at what, and where it is kept; `pictures` is a folder for a PNG of each, if wanted."""

    source: Source
    extractor: Extractor
    shards: Shards
    processes: Processes = Processes()
    pictures: Path | None = None

    def run(self, until: int | None = None, report: Report = silent) -> None:
        """Do what is missing of this process's share, up to picture `until`, then wait for the others.

        Raises GenstudioError for files that cannot be read and disks that are full; what was done is kept.
        """
        wanted = [at for at in self.shards.ranges if until is None or at.start < until]
        mine = self.processes.share(wanted)
        total, done = sum(map(len, mine)), 0
        for at in mine:
            if self._has(at):
                pool_ND = self.shards.one(at, POOL)
            else:
                pool_ND = self._extract(at, partial(_report, report, done, total))
            done += len(at)
            report(Progress(done, total, pool_ND))
        self.processes.wait()

    def missing(self) -> int:
        """Pictures that nobody has made yet."""
        return sum(len(at) for at in self.shards.ranges if not self._has(at))

    def _extract(self, at: range, report: Callable[[float], None]) -> Tensor:
        started = time.perf_counter()
        taken = self.source.take(at, report)
        seconds = time.perf_counter() - started
        features = self.extractor(taken.pixels_NCHW)
        _check(features, self.source.name)
        self._save_pictures(at, taken)
        self.shards.write(at, _kept(at, taken, features), Facts(seconds, taken.left_out))
        return features.pool_BD

    def _has(self, at: range) -> bool:
        there = self.pictures is None or all(self._path(self.pictures, index).is_file() for index in at)
        return there and self.shards.has(at)

    def _save_pictures(self, at: range, taken: Taken) -> None:
        if self.pictures is None:
            return
        for index, pixels_CHW, spec in zip(at, taken.pixels_NCHW, taken.specs, strict=True):
            save_png(self._path(self.pictures, index), pixels_CHW, spec)

    def _path(self, folder: Path, index: int) -> Path:
        return folder / f"{index:06d}.png"


def _report(report: Report, before: int, total: int, part: float) -> None:
    report(Progress(before + part, total))


def _kept(at: range, taken: Taken, features: Features) -> dict[str, Tensor]:
    first = taken.pixels_NCHW[: max(0, PREVIEWED - at.start)]
    found = {
        HASHES: hashes(taken.pixels_NCHW),
        PIXELS: first if len(first) else None,
        LABELS: taken.labels_N,
        POOL: features.pool_BD,
        LOGITS: features.logits_BK,
        SPATIAL: features.spatial_BS,
        ATTRIBUTES: features.attributes_BA,
    }
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _check(features: Features, name: str) -> None:
    if not bool(torch.isfinite(features.pool_BD).all()):
        raise GenstudioError(
            f"The features of {name} hold NaN or infinity.", "Check the weights of model and extractor."
        )
