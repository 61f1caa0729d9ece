"""Score pictures against real ones: distance, precision, recall, and how many show the class asked for.

Guidance can buy a high class share with little variety: recall stands beside it to show that. A distance is
named after its extractor and sample count, and is never called FID, which means Inception features.
Shapes: N pictures, C channels, H x W pixels.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from genstudio.evaluation.classifier import Classifier
from genstudio.evaluation.features import features
from genstudio.evaluation.frechet import Moments, frechet_distance
from genstudio.evaluation.precision_recall import precision_recall
from genstudio.evaluation.reference import ReferenceStatistics


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
    pixels_NCHW: Tensor, labels_N: Tensor | None, classifier: Classifier, reference: ReferenceStatistics
) -> Report:
    """Score uint8 pictures [N,C,H,W], and their requested labels where there are any.

    Raises GenstudioError when another classifier made the reference.
    """
    reference.check(classifier)
    scores = features(classifier, pixels_NCHW)
    manifold = precision_recall(reference.features_ND, scores.features)
    return Report(
        samples=len(pixels_NCHW),
        extractor=reference.extractor,
        reference=reference.source,
        distance=frechet_distance(Moments.of(scores.features), reference.moments),
        precision=manifold.precision,
        recall=manifold.recall,
        class_share=None if labels_N is None else class_share(scores.logits, labels_N),
    )


def class_share(logits_NK: Tensor, labels_N: Tensor) -> float:
    """Share of pictures whose most likely class is the one that was asked for."""
    return float((logits_NK.argmax(1) == labels_N).double().mean())


def short(count: int) -> str:
    """10000 as "10k"; counts that are no whole thousands in full."""
    return f"{count // 1000}k" if count >= 1000 and count % 1000 == 0 else str(count)
