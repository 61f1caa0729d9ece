"""Feature extractors: what turns pictures into the numbers that scores compare, by name.

`inception-v3-compat` is the field's own; any release with a classifier (`fashion-features`, a folder) is
another. Both are torch-fidelity extractors, so that its metrics compute with them too. Statistics belong to
the weights that made them: `digest` tells them apart.
Shapes: B pictures, C channels, H x W pixels, D features, K classes, S spatial features, A attribute values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from genstudio.configs.features import Attribute, ClassifierConfig
from genstudio.data.labels import names_of
from genstudio.errors import GenstudioError
from genstudio.evaluation import fidelity, inception
from genstudio.evaluation.classifier import Classifier
from genstudio.media.pixels import to_float
from genstudio.releases import catalogue, weights
from genstudio.releases.release import PixelRule, Release

POOL, LOGITS, ATTRIBUTES = (
    "features",
    "logits",
    "attributes",
)  # what torch-fidelity calls a classifier's layers
FIELDS = {
    POOL: "pool_BD",
    LOGITS: "logits_BK",
    ATTRIBUTES: "attributes_BA",
    inception.POOL: "pool_BD",
    inception.LOGITS: "logits_BK",
    inception.SPATIAL: "spatial_BS",
}
RANGE = PixelRule()


class Features(NamedTuple):
    """What an extractor says of B pictures, float32 on the CPU.

    `logits_BK` are of the label set, or Inception's without bias; `spatial_BS` are Inception's for sFID, rows
    then columns then channels; `attributes_BA` are logits of all attributes' values in the config's order.
    """

    pool_BD: Tensor
    logits_BK: Tensor | None
    spatial_BS: Tensor | None = None
    attributes_BA: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Extractor:
    """An extractor on a device.

    `digest` is a hash of all weights; `official` is true of Inception with the published weights alone.
    `classes` are the names behind `logits_BK` and `attributes` the questions behind `attributes_BA`. It takes
    grey and colour pictures (its own kind has `channels`) of `pixels` by `pixels`, None meaning any size, and
    gives `features` pooled and `spatial_features` other numbers. Statistics shipped with it lie in `folder`.
    """

    name: str
    digest: str
    network: FeatureExtractorBase
    device: torch.device
    features: int
    channels: int
    pixels: int | None = None
    spatial_features: int | None = None
    official: bool = False
    classes: tuple[str, ...] | None = None
    attributes: tuple[Attribute, ...] = ()
    folder: Path | None = None

    @torch.no_grad()
    def __call__(self, pixels_BCHW: Tensor) -> Features:
        """Features of uint8 pictures; a picture's own are the same in any batch, up to float32's last bits.

        Raises GenstudioError for pictures of another size than a classifier was trained on.
        """
        # TF32 would make features depend on the GPU, by far more than scores differ between good models.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            made = self.network(pixels_BCHW.to(self.device))
        found = self.network.convert_features_tuple_to_dict(made)
        return Features(
            **{"logits_BK": None, **{FIELDS[name]: one.float().cpu() for name, one in found.items()}}
        )


def open_extractor(
    name: str, *, weights: Path | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """`inception-v3-compat`, or a classifier by its release's name or folder.

    `weights` is a file for Inception; without it the file is looked for in the cache. Raises GenstudioError
    (exit code 3) where weights are missing, damaged or of another form.
    """
    if name == inception.NAME:
        return _inception(weights, torch.device(device))
    if weights is not None:
        raise GenstudioError(
            f"{name} has weights of its own.", f"A file of weights can be given for {inception.NAME} alone."
        )
    return _classifier(name, torch.device(device))


def register(name: str) -> None:
    """Make torch-fidelity know an extractor of ours by name: `calculate_metrics(feature_extractor=name)`.

    Inception with its spatial features is called `inception-v3-compat-spatial` there. Raises GenstudioError
    for a name that is no classifier.
    """
    if name == inception.REGISTERED:
        return fidelity.register(name, inception.SpatialInception)
    classifier_release(name)
    return fidelity.register(name, ClassifierFeatures)


def classifier_release(name: str) -> Release:
    """The release of a classifier by name or folder. Raises GenstudioError for any other release."""
    release = catalogue.find(name)
    if not isinstance(release.config, ClassifierConfig):
        raise GenstudioError(
            f"{release.name} is no classifier, so it has no features.",
            f"Try fashion-features or {inception.NAME}.",
        )
    return release


class ClassifierFeatures(FeatureExtractorBase):
    """A classifier as torch-fidelity wants it: uint8 pictures in, a tuple of layers out.

    `name` is a release's name or folder. torch-fidelity caches features of named inputs under the name of
    their extractor; ours ends in the hash of the weights, so that other weights never meet old features.
    """

    def __init__(self, name: str, features_list: Sequence[str], **_settings: Any) -> None:
        super().__init__(name, list(features_list))
        self.release = classifier_release(name)
        self.classifier = cast(Classifier, weights.load(self.release)).requires_grad_(False)
        self.digest = fidelity.weights_digest(self.classifier)
        self.name = f"{self.release.name}-{self.digest[:12]}"

    def forward(self, pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        config = self.classifier.config
        self._check_size(pixels_BCHW)
        x_BCHW = to_float(fidelity.with_channels(pixels_BCHW, config.channels), RANGE)
        scores = self.classifier(x_BCHW.contiguous(memory_format=torch.channels_last))
        layers = {POOL: scores.features, LOGITS: scores.logits, ATTRIBUTES: scores.attributes_BA}
        return tuple(layers[name] for name in self.features_list)

    def _check_size(self, pixels_BCHW: Tensor) -> None:
        height, width = pixels_BCHW.shape[2:]
        size = self.classifier.config.pixels
        if (height, width) != (size, size):
            raise GenstudioError(
                f"{self.release.name} looks at {size}x{size} pixels, but the pictures have {width}x{height}.",
                "Resize them before, or choose another extractor.",
            )

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return POOL, LOGITS, ATTRIBUTES

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return LOGITS if metric == "isc" else POOL

    @staticmethod
    def can_be_compiled() -> bool:
        return False


def _classifier(name: str, device: torch.device) -> Extractor:
    release = classifier_release(name)
    config = cast(ClassifierConfig, release.config)
    layers = [POOL, LOGITS, *([ATTRIBUTES] if config.attributes else [])]
    network = ClassifierFeatures(name, layers)
    if release.name == name:
        register(name)
    return Extractor(
        name=release.name,
        digest=network.digest,
        network=network.to(device).eval(),
        device=device,
        features=config.features,
        channels=config.channels,
        pixels=config.pixels,
        classes=names_of(release.classes, config.classes),
        attributes=config.attributes,
        folder=weights.resolve(release).parent,
    )


def _inception(path: Path | None, device: torch.device) -> Extractor:
    network = inception.SpatialInception(
        inception.REGISTERED, [inception.POOL, inception.LOGITS, inception.SPATIAL], path
    )
    register(inception.REGISTERED)
    return Extractor(
        name=inception.NAME,
        digest=network.digest,
        network=network.to(device).eval(),
        device=device,
        features=inception.WIDTH,
        channels=3,
        spatial_features=inception.SPATIAL_WIDTH,
        official=network.official,
    )
