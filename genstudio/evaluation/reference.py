"""Reference statistics: what real pictures look like in a feature space, computed once and stored.

One safetensors file: `mu` and `sigma` (float64, of all pictures) for the Frechet distance, `features`
(float16, of up to 10,000 pictures, evenly spaced) for precision and recall, and in the metadata the count and
who made it from what. Statistics know their extractor by a hash of its weights, so that a mismatch is an
error and not a number. Shapes: N rows, D features.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from genstudio.configs.features import ClassifierConfig
from genstudio.data.pictures import Pictures
from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation.classifier import Classifier
from genstudio.evaluation.features import all_pixels, features, weights_digest
from genstudio.evaluation.frechet import Moments
from genstudio.files import atomic
from genstudio.releases import catalogue, weights

REFERENCE = "reference.safetensors"
KEPT = 10_000
ABOUT = "genstudio.reference"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReferenceStatistics:
    """`moments` of all real pictures, `features_ND` of some; the extractor's name and hash; the source."""

    moments: Moments
    features_ND: Tensor
    extractor: str
    digest: str
    source: str

    def check(self, classifier: Classifier) -> None:
        """Raises GenstudioError when another classifier made these statistics."""
        if weights_digest(classifier) != self.digest:
            raise GenstudioError(
                f"The reference statistics were made by another {self.extractor} than the one loaded.",
                f"Make them again: python scripts/reference.py {self.extractor}.",
                Exit.WEIGHTS,
            )


def reference_statistics(
    classifier: Classifier, pictures: Pictures, *, extractor: str, source: str
) -> ReferenceStatistics:
    """Statistics of all `pictures`; `extractor` and `source` are names for people, e.g. "fashion train"."""
    features_ND = features(classifier, all_pixels(pictures)).features
    every = max(1, len(features_ND) // KEPT)
    return ReferenceStatistics(
        moments=Moments.of(features_ND),
        features_ND=features_ND[::every][:KEPT].half(),
        extractor=extractor,
        digest=weights_digest(classifier),
        source=source,
    )


def load_extractor(name: str) -> tuple[Classifier, ReferenceStatistics]:
    """A classifier by its release's name or folder, with the statistics that lie beside its weights.

    Raises GenstudioError when either is missing or damaged, or they do not belong together.
    """
    release = catalogue.find(name)
    if not isinstance(release.config, ClassifierConfig):
        raise GenstudioError(
            f"{release.name} is no classifier, so it has no features.", "Try fashion-features."
        )
    classifier = cast(Classifier, weights.load(release))
    reference = load(weights.resolve(release).with_name(REFERENCE))
    reference.check(classifier)
    return classifier, reference


def save(path: Path, reference: ReferenceStatistics) -> None:
    """Write statistics atomically. Raises GenstudioError for a full or closed disk."""
    moments = reference.moments
    about = {
        "count": moments.count,
        "extractor": reference.extractor,
        "digest": reference.digest,
        "source": reference.source,
    }
    tensors = {"mu": moments.mean_D, "sigma": moments.covariance_DD, "features": reference.features_ND}
    with atomic(path) as temporary:
        temporary.write_bytes(serialise(tensors, {ABOUT: json.dumps(about)}))


def load(path: Path) -> ReferenceStatistics:
    """Read what `save` wrote. Raises GenstudioError when the file is missing, damaged or another."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[ABOUT])
            mu_D, sigma_DD, features_ND = (file.get_tensor(name) for name in ("mu", "sigma", "features"))
        moments = Moments(about["count"], mu_D, sigma_DD * (about["count"] - 1))
        names = {key: about[key] for key in ("extractor", "digest", "source")}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise GenstudioError(
            f"{path} holds no reference statistics that can be read ({error}).",
            "Make them again: python scripts/reference.py.",
            Exit.WEIGHTS,
        ) from error
    return ReferenceStatistics(moments=moments, features_ND=features_ND, **names)
