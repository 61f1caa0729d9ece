"""Initial weights from one seeded generator: a network's own published rule, else the customary one."""

import math

import torch
from torch import Tensor, nn

from genstudio.generators import drafter, llamagen, mar, nar, var
from genstudio.generators.students import LlamaGenStudent
from genstudio.nn.quantize import Codebook


def initialise(network: nn.Module, seed: int) -> nn.Module:
    """Overwrite every parameter; the same seed gives the same weights on every machine."""
    generator = torch.Generator().manual_seed(seed)
    match network:
        case var.NextScale():
            var.initialise(network, generator)
        case llamagen.LlamaGen() | LlamaGenStudent():
            llamagen.initialise(network, generator)
        case nar.NAR():
            nar.initialise(network, generator)
        case mar.MAR():
            mar.initialise(network, generator)
        case drafter.Drafter():
            drafter.initialise(network, generator)
        case _:
            with torch.no_grad():
                for module in network.modules():
                    _customary(module, generator)
    _shorten_codes(network)
    return network


def _shorten_codes(network: nn.Module) -> None:
    """Codes that are compared by angle begin at length 1, as officially: a step turns short ones too far."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Codebook) and module.normalised:
                module.codebook.weight.copy_(module.scaled(module.codebook.weight))


def _customary(module: nn.Module, generator: torch.Generator) -> None:
    """Torch's rules for layers, and codes within 1/V of 0; raises TypeError for weights without a rule."""
    match module:
        case nn.Linear() | nn.Conv2d():
            bound = 1 / math.sqrt(module.weight[0].numel())
            for value in module.parameters(recurse=False):
                nn.init.uniform_(value, -bound, bound, generator=generator)
        case nn.Embedding():
            bound = 1 / module.num_embeddings
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
        case nn.GroupNorm() | nn.LayerNorm() | nn.BatchNorm2d():
            module.reset_parameters()
        case _ if own := [name for name, _ in module.named_parameters(recurse=False)]:
            raise TypeError(f"{type(module).__name__} has weights without an initial rule: {own}")


def adopt(network: nn.Module, given: dict[str, Tensor]) -> list[str]:
    """Take weights of the same name and shape; returns the names that stay as they were."""
    fresh = [name for name, value in network.state_dict().items() if _shape(given, name) != value.shape]
    network.load_state_dict({key: value for key, value in given.items() if key not in fresh}, strict=False)
    return fresh


def _shape(tensors: dict[str, Tensor], name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None
