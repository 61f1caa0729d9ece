"""Scores from the kept features of a run: every number with its name, its interval and its bias.

A name says what a number is: under 50,000 pictures FID is FID-10k, with another extractor or other weights it
is no FID at all. The interval of a Frechet distance is the jackknife over 20 blocks of moments (a bootstrap
repeats pictures, which inflates the distance); the reference counts as given. Moments, inception score and
share stream; kernel distance, precision and the like need all features at once.
Shapes: N pictures, D features, K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.evaluation.extractor import Extractor
from genstudio.evaluation.frechet import Against, Moments
from genstudio.evaluation.inception_score import InceptionScore
from genstudio.evaluation.jackknife import jackknife
from genstudio.evaluation.kernel_distance import SIZE, kernel_distance
from genstudio.evaluation.plan import INCEPTION
from genstudio.evaluation.precision_recall import (
    DENSITY_NEIGHBOURS,
    NEIGHBOURS,
    density_coverage,
    precision_recall,
)
from genstudio.evaluation.reference import ReferenceStatistics
from genstudio.evaluation.run import LABELS, LOGITS, POOL, SPATIAL
from genstudio.evaluation.shards import Shards
from genstudio.releases.release import Metric, Suite

BLOCKS = 20
OFFICIAL_SAMPLES = 50_000
FEWEST = {"is": 10, "pr": NEIGHBOURS + 1, "dc": DENSITY_NEIGHBOURS + 1}
ADM_CHUNK = 5_000


class Measured(NamedTuple):
    """A number under its full name; `low`..`high` its 95 % interval, `bias` what the finite sample adds to
    it, `spread` its standard deviation over splits or subsets; None where that does not exist."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    bias: float | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The pictures of a run before index `until`, as the extractor saw them, and what they are compared with;
    `left_out` of them could not be read."""

    shards: Shards
    until: int
    extractor: Extractor
    reference: ReferenceStatistics | None
    suite: Suite = "torch-fidelity"
    labelled: bool = False
    left_out: int = 0

    @property
    def count(self) -> int:
        """How many pictures are scored."""
        return self.until - self.left_out

    def read(self, name: str) -> Iterator[Tensor]:
        """A tensor of every batch, in order."""
        return self.shards.read(name, self.until)

    def refusal(self, metric: Metric) -> str | None:
        """Why a metric has no value here, before anything is computed; None where it has one."""
        inception = self.extractor.name == INCEPTION
        if self.count < FEWEST.get(metric, 2):
            return f"{self.count} pictures are too few"
        match metric:
            case "sfid" | "is" if not inception:
                return f"{metric} is defined on {INCEPTION}"
            case "share" if not self.labelled:
                return "the classes of pictures and extractor differ, or are unknown"
            case "fid" | "sfid" | "kid" | "pr" | "dc" if self.reference is None:
                return "there is no reference"
            case "sfid" if self.reference is not None and self.reference.spatial is None:
                return f"{self.reference.source} has no spatial statistics"
            case "kid" | "pr" | "dc" if self.reference is not None and not self.reference.has_features:
                return f"{self.reference.source} has moments alone, no pictures or features"
        return None


def measure(sample: Sample, metrics: tuple[Metric, ...]) -> dict[str, Measured]:
    """Every metric's numbers, by stable keys. Raises GenstudioError for fewer than two pictures."""
    if sample.count < 2:
        raise GenstudioError(f"{sample.count} picture has no distribution.", "Score two pictures or more.")
    found: dict[str, Measured] = {}
    for metric in metrics:
        found |= _MEASURES[metric](sample)
    return found


def available(sample: Sample, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    """Those that have a value here."""
    return tuple(metric for metric in metrics if sample.refusal(metric) is None)


def frechet(sample: Sample) -> Measured:
    """The distance of pooled features, with its interval."""
    assert sample.reference is not None
    official = {INCEPTION: "FID"} if sample.extractor.official else {}
    return _distance(sample, POOL, Against(sample.reference.gaussian), official.get(sample.extractor.name))


def label_of(name: str, official: str | None, extractor: Extractor, count: int) -> str:
    """FID at 50,000 pictures or more, FID-10k below, "Frechet distance-10k (fashion-features)" elsewhere."""
    size = "" if count >= OFFICIAL_SAMPLES else f"-{short(count)}"
    if official is not None:
        return f"{official}{size}"
    weights = f", weights {extractor.digest[:8]}" if extractor.name == INCEPTION else ""
    return f"{name}{size} ({extractor.name}{weights})"


def short(count: int) -> str:
    """10000 as "10k"; counts that are no whole thousands in full."""
    return f"{count // 1000}k" if count >= 1000 and count % 1000 == 0 else str(count)


def _distance(sample: Sample, name: str, against: Against, official: str | None) -> Measured:
    blocks = list(_blocks(sample, name))
    label = label_of("Frechet distance", official, sample.extractor, sample.count)
    if len(blocks) < BLOCKS:
        return Measured(label, against.distance(_merged(blocks).gaussian))
    found = jackknife(blocks, against.distance)
    return Measured(label, found.value, found.low, found.high, found.bias)


def _blocks(sample: Sample, name: str) -> Iterator[Moments]:
    """Moments of 20 runs of neighbours, which hold all classes alike; fewer for fewer than 40 pictures."""
    blocks = min(BLOCKS, sample.count // 2)
    for _, parts in groupby(_pieces(sample, name, blocks), key=lambda piece: piece[0]):
        moments = None
        for _, rows_ND in parts:
            moments = Moments.of(rows_ND) if moments is None else moments.add(rows_ND)
        assert moments is not None
        yield moments


def _pieces(sample: Sample, name: str, blocks: int) -> Iterator[tuple[int, Tensor]]:
    """Rows of every batch, cut where a block ends."""
    first = 0
    for rows_ND in sample.read(name):
        block_N = (torch.arange(first, first + len(rows_ND)) * blocks) // sample.count
        for block in block_N.unique().tolist():
            yield block, rows_ND[block_N == block]
        first += len(rows_ND)


def _merged(blocks: list[Moments]) -> Moments:
    total = blocks[0]
    for block in blocks[1:]:
        total = total.merge(block)
    return total


def _fid(sample: Sample) -> dict[str, Measured]:
    return {"frechet": frechet(sample)}


def _sfid(sample: Sample) -> dict[str, Measured]:
    assert sample.reference is not None and sample.reference.spatial is not None
    official = "sFID" if sample.extractor.official else None
    return {"sfid": _distance(sample, SPATIAL, Against(sample.reference.spatial), official)}


def _inception_score(sample: Sample) -> dict[str, Measured]:
    adm = sample.suite == "adm"
    score = InceptionScore(sample.count, chunk=ADM_CHUNK if adm else None, shuffle=not adm)
    first = 0
    for logits_NK in sample.read(LOGITS):
        score.add(first, logits_NK)
        first += len(logits_NK)
    mean, spread = score.result()
    label = label_of(
        "inception score", "IS" if sample.extractor.official else None, sample.extractor, sample.count
    )
    return {"is": Measured(label, mean, spread=spread)}


def _kernel(sample: Sample) -> dict[str, Measured]:
    made_ND, real_ND = _both(sample)
    size = min(SIZE, len(made_ND), len(real_ND))
    mean, spread = kernel_distance(made_ND, real_ND, size=size)
    label = label_of(
        "kernel distance", "KID" if sample.extractor.official else None, sample.extractor, sample.count
    )
    return {"kid": Measured(label, mean, spread=spread)}


def _precision_recall(sample: Sample) -> dict[str, Measured]:
    made_ND, real_ND = _both(sample)
    found = precision_recall(real_ND, made_ND)
    return {
        "precision": _share(sample, "precision", found.precision),
        "recall": _share(sample, "recall", found.recall),
    }


def _density_coverage(sample: Sample) -> dict[str, Measured]:
    made_ND, real_ND = _both(sample)
    found = density_coverage(real_ND, made_ND)
    return {
        "density": _share(sample, "density", found.density),
        "coverage": _share(sample, "coverage", found.coverage),
    }


def _class_share(sample: Sample) -> dict[str, Measured]:
    logits, labels = (sample.read(name) for name in (LOGITS, LABELS))
    right = sum(
        int((one_NK.argmax(1) == other_N).sum()) for one_NK, other_N in zip(logits, labels, strict=True)
    )
    return {"class_share": _share(sample, "class share", right / sample.count)}


def _share(sample: Sample, name: str, value: float) -> Measured:
    official = name if sample.extractor.official else None
    return Measured(label_of(name, official, sample.extractor, sample.count), value)


def _both(sample: Sample) -> tuple[Tensor, Tensor]:
    assert sample.reference is not None
    return torch.cat(list(sample.read(POOL))), sample.reference.features(sample.extractor)


_MEASURES: dict[Metric, Callable[[Sample], dict[str, Any]]] = {
    "fid": _fid,
    "sfid": _sfid,
    "kid": _kernel,
    "is": _inception_score,
    "pr": _precision_recall,
    "dc": _density_coverage,
    "share": _class_share,
}
