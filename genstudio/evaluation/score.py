"""Score pictures against real ones: distance, precision, recall, and how many show the class asked for.

Guidance can buy a high class share with little variety: recall stands beside it to show that. A distance is
named after its extractor and sample count, and is never called FID, which means Inception features.
Shapes: N pictures, C channels, H x W pixels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genstudio.evaluation.extractor import Extractor, Features
from genstudio.evaluation.frechet import Moments, frechet_distance
from genstudio.evaluation.precision_recall import precision_recall
from genstudio.evaluation.reference import BATCH, ReferenceStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Scores of `samples` pictures; `distance` is a squared Frechet distance of the extractor's features."""

    samples: int
    extractor: str
    reference: str
    distance: float
    precision: float
    recall: float
    class_share: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the distance under its full name."""
        return {
            f"{self.extractor} distance, {short(self.samples)} samples": self.distance,
            "precision": self.precision,
            "recall": self.recall,
            "class_share": self.class_share,
            "samples": self.samples,
            "reference": self.reference,
        }


def score(
    pixels_NCHW: Tensor, labels_N: Tensor | None, extractor: Extractor, reference: ReferenceStatistics
) -> Report:
    """Score uint8 pictures [N,C,H,W], and their requested labels where there are any.

    Raises GenstudioError when another extractor made the reference.
    """
    reference.check(extractor)
    parts = [extractor(part) for part in torch.split(pixels_NCHW, BATCH)]
    pool_ND = torch.cat([part.pool_BD for part in parts])
    manifold = precision_recall(reference.features(extractor), pool_ND)
    return Report(
        samples=len(pixels_NCHW),
        extractor=extractor.name,
        reference=reference.source,
        distance=frechet_distance(Moments.of(pool_ND).gaussian, reference.gaussian),
        precision=manifold.precision,
        recall=manifold.recall,
        class_share=None if labels_N is None else class_share(parts, labels_N),
    )


def class_share(parts: list[Features], labels_N: Tensor) -> float:
    """Share of pictures whose most likely class is the one that was asked for."""
    said = [part.logits_BK.argmax(1) for part in parts if part.logits_BK is not None]
    return float((torch.cat(said) == labels_N).double().mean())


def short(count: int) -> str:
    """10000 as "10k"; counts that are no whole thousands in full."""
    return f"{count // 1000}k" if count >= 1000 and count % 1000 == 0 else str(count)
