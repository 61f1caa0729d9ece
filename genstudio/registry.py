"""From architecture numbers to a network: which class belongs to which kind of config.

Classes are named as strings and imported when they are built, so that listing models costs no torch.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Size, device, nn

    from genstudio.releases.release import Config

NETWORKS: Final[Mapping[str, str]] = {
    "var": "genstudio.generators.var:VAR",
    "llamagen": "genstudio.generators.llamagen:LlamaGen",
    "nar": "genstudio.generators.nar:NAR",
    "var_student": "genstudio.generators.students:VARStudent",
    "llamagen_student": "genstudio.generators.students:LlamaGenStudent",
    "mar": "genstudio.generators.mar:MAR",
    "drafter": "genstudio.generators.drafter:Drafter",
    "multiscale_vq": "genstudio.tokenizers.multiscale_vq:MultiScaleVQ",
    "vq": "genstudio.tokenizers.vq:VQ",
    "kl": "genstudio.tokenizers.kl:KL",
    "classifier": "genstudio.evaluation.classifier:Classifier",
}


def build(config: "Config", device: "str | device" = "meta") -> "nn.Module":
    """The network of a config, with fresh weights on `device`; on "meta" it has shapes and no memory."""
    import torch

    module, _, name = NETWORKS[config.kind].partition(":")
    network = getattr(import_module(module), name)
    with torch.device(device):
        built: nn.Module = network(config)
    return built


def shapes(config: "Config") -> "dict[str, Size]":
    """Names and shapes of everything that a checkpoint of this config holds."""
    return {name: tensor.shape for name, tensor in build(config).state_dict().items()}
