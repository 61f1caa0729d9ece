"""Networks of fixtures: built from a config, filled with official tensors by the studio's own tables."""

from torch import Tensor, nn

from genstudio import registry
from genstudio.releases.release import Config
from genstudio.releases.rename import from_official
from genstudio.releases.tables import table_for
from genstudio.releases.weights import fill


def from_tensors(config: Config, official: dict[str, Tensor], network: nn.Module | None = None) -> nn.Module:
    """In eval mode; `network` is given where it is not built from its config alone. Raises GenstudioError
    where a name or a shape does not fit."""
    network = network or registry.build(config)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    converted = from_official(official, table_for(config), shapes)
    return fill(network, converted.tensors, "the fixture").eval()
