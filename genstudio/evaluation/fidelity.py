"""Our side of torch-fidelity: settings that it knows, extractors by name, pictures with the channels wanted.

torch-fidelity ignores settings that it does not know, so that a slip of the pen computes another number:
every call of it gets its settings from here. Shapes: B pictures, C channels, H x W pixels.
"""

from typing import Any

import torch
from torch import Tensor
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from genstudio.errors import GenstudioError

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
