"""Inception v3 of 2015 (`inception-v3-compat`), the extractor behind FID, with the features of sFID.

torch-fidelity's port of the network is used as it is. sFID takes the first 7 channels of the 17x17 map that
the 1x1 branch of TensorFlow's block mixed_6 puts out (here Mixed_6d.branch1x1), as the ADM evaluator does:
2023 numbers, rows then columns then channels. torch-fidelity unpickles whatever file it is given: we read the
file first, tensors alone, and give it those. Shapes: B pictures, C channels, H x W pixels.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation import fidelity
from genstudio.files import digest, home
from genstudio.releases.pickles import read_official
from genstudio.releases.release import Packing

NAME = "inception-v3-compat"
REGISTERED = f"{NAME}-spatial"  # torch-fidelity keeps NAME for its own, which lacks the spatial features
FILE = "weights-inception-2015-12-05-6726825d.pth"
PUBLISHED = "6726825d"  # the sha256 of the published file begins so
TENSORS = 566

POOL, LOGITS, SPATIAL = "2048", "logits_unbiased", "spatial"
WIDTH, SPATIAL_WIDTH, SPATIAL_CHANNELS = 2048, 17 * 17 * 7, 7
DEEP_ENOUGH = "768"  # a plain layer behind Mixed_6d, for when no other is asked for


class SpatialInception(FeatureExtractorBase):
    """torch-fidelity's Inception with one more layer, "spatial" [B,2023], and weights that are checked first.

    `feature_extractor_weights_path` None means the file in the cache, which must then be the published one;
    a file that is named may be another, and `official` says so. Raises GenstudioError (exit code 3).
    """

    def __init__(
        self,
        name: str,
        features_list: Sequence[str],
        feature_extractor_weights_path: str | Path | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, list(features_list))
        chosen = feature_extractor_weights_path
        path = find_weights() if chosen is None else Path(chosen)
        self.official = is_published(path)
        if chosen is None and not self.official:
            raise _not_published(path)
        plain = [layer for layer in features_list if layer != SPATIAL] or [DEEP_ENOUGH]
        self.inception = _built(path, plain, settings)
        self.digest = fidelity.weights_digest(self.inception)
        self.name = f"{name}-{self.digest[:12]}"  # torch-fidelity caches features under it

    def forward(self, pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        seen: list[Tensor] = []
        branch: nn.Module = self.inception.Mixed_6d.branch1x1
        hook = branch.register_forward_hook(lambda _module, _args, map_BCHW: seen.append(map_BCHW))
        try:
            plain = self.inception(fidelity.with_channels(pixels_BCHW, 3))
        finally:
            hook.remove()
        layers = self.inception.convert_features_tuple_to_dict(plain)
        layers[SPATIAL] = rearrange(seen[0][:, :SPATIAL_CHANNELS], "b c h w -> b (h w c)").float()
        return tuple(layers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return *FeatureExtractorInceptionV3.get_provided_features_list(), SPATIAL

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return str(FeatureExtractorInceptionV3.get_default_feature_layer_for_metric(metric))

    @staticmethod
    def can_be_compiled() -> bool:
        return False


def find_weights() -> Path:
    """The file in our cache, else torch's. Raises GenstudioError (exit code 3) where it is in neither."""
    ours = home() / "features" / FILE
    for path in (ours, Path(torch.hub.get_dir()) / "checkpoints" / FILE):
        if path.is_file():
            return path
    raise GenstudioError(
        f"The weights of {NAME} are not on this machine (96 MB).",
        f"Get {FILE} from the releases of torch-fidelity and copy it to {ours.parent}, "
        f"or give it with --feature-weights.",
        Exit.WEIGHTS,
    )


def is_published(path: Path) -> bool:
    """Whether a file has the published hash. Raises GenstudioError (exit code 3) when it cannot be read."""
    try:
        return digest(path).startswith(PUBLISHED)
    except OSError as error:
        raise GenstudioError(
            f"{path} cannot be read: {error.strerror}.", f"Give the path of {FILE}.", Exit.WEIGHTS
        ) from error


def _built(path: Path, layers: list[str], settings: dict[str, Any]) -> FeatureExtractorInceptionV3:
    tensors = read_official(path, Packing())
    if len(tensors) != TENSORS:
        raise _unfit(path, f"it has {len(tensors)} tensors, not {TENSORS}")
    safe = io.BytesIO()
    torch.save(tensors, safe)
    safe.seek(0)
    try:
        return FeatureExtractorInceptionV3(NAME, layers, safe, **settings)
    except RuntimeError as error:  # names and shapes that differ
        raise _unfit(path, " ".join(str(error).split("\n")[1:2]).strip().rstrip(".")) from error


def _unfit(path: Path, reason: str) -> GenstudioError:
    return GenstudioError(f"{path} is not Inception v3 of 2015: {reason}.", f"Give {FILE}.", Exit.WEIGHTS)


def _not_published(path: Path) -> GenstudioError:
    return GenstudioError(
        f"{path} is damaged or another file: its sha256 does not begin with {PUBLISHED}.",
        "Copy the published file there again, or give another one with --feature-weights.",
        Exit.WEIGHTS,
    )
