"""Our side of torch-fidelity: settings that it knows, extractors by name, statistics lent to it, channels.

torch-fidelity ignores settings that it does not know, so that a slip of the pen computes another number:
every call of it gets its settings from here. It keeps what it computed
under names: ours hold a hash of their content. Shapes: B pictures, C channels, H x W pixels, D features.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from genstudio.errors import GenstudioError
from genstudio.evaluation.frechet import Gaussian
from genstudio.files import atomic

LUMA = (19595, 38470, 7471)  # ITU-R 601 in 1/65536, rounded as Pillow does: levels of grey pictures stay


def settings(**named: Any) -> dict[str, Any]:
    """Arguments for a silent function of torch-fidelity. Raises TypeError for one that it does not know."""
    if unknown := named.keys() - DEFAULTS.keys():
        raise TypeError(f"torch-fidelity has no setting {', '.join(sorted(unknown))}")
    return {"verbose": False, **named}


def register(name: str, extractor: type[FeatureExtractorBase]) -> None:
    """Make torch-fidelity find an extractor by name; again is nothing, another class is a ValueError."""
    if FEATURE_EXTRACTORS_REGISTRY.get(name) is not extractor:
        register_feature_extractor(name, extractor)


def lend(gaussian: Gaussian, network: FeatureExtractorBase, cache_root: Path) -> dict[str, Any]:
    """Settings with which torch-fidelity measures the Frechet distance of its `input1` from these statistics.

    They go into its cache, the one place where it reads statistics, as it wants them: the mean in float32,
    the covariance in float64. `feature_extractor` has to name the registered class of `network`.
    """
    mean_D, covariance_DD = gaussian
    total = hashlib.sha256(mean_D.double().numpy().tobytes())
    total.update(covariance_DD.double().contiguous().numpy().tobytes())
    name = f"genstudio-{total.hexdigest()[:12]}"
    layer = network.get_default_feature_layer_for_metric("fid")
    with atomic(cache_root / f"{name}-{network.get_name()}-stat-fid-{layer}.pt") as temporary:
        torch.save({"mu": mean_D.float().numpy(), "sigma": covariance_DD.double().numpy()}, temporary)
    return settings(fid=True, input2=name, input2_cache_name=name, cache_root=str(cache_root))


def weights_digest(network: nn.Module) -> str:
    """A hash of all weights, by which statistics know the extractor that made them."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def with_channels(pixels_BCHW: Tensor, channels: int) -> Tensor:
    """uint8 pictures as grey (1) or colour (3). torch-fidelity reads every file as colour.

    Raises GenstudioError for pictures that are neither.
    """
    found = pixels_BCHW.shape[1]
    if pixels_BCHW.dtype != torch.uint8:
        raise TypeError(f"pictures are scored as uint8 levels, not {pixels_BCHW.dtype}")
    if found not in (1, 3):
        raise GenstudioError(
            f"Pictures with {found} channels cannot be scored.", "Give grey or RGB pictures."
        )
    if found == channels:
        return pixels_BCHW
    if channels == 3:
        return pixels_BCHW.expand(-1, 3, -1, -1)
    weight_C = torch.tensor(LUMA, dtype=torch.int32, device=pixels_BCHW.device)
    luma_BHW = torch.einsum("bchw,c->bhw", pixels_BCHW.int(), weight_C)
    return ((luma_BHW + (1 << 15)) >> 16).to(torch.uint8)[:, None]
