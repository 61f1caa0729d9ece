"""Networks of fixtures: built from a config, filled with official tensors by the studio's own tables."""

from torch import Tensor, nn

from genstudio import registry
from genstudio.releases.release import Config
from genstudio.releases.rename import from_official
from genstudio.releases.tables import table_for
from genstudio.releases.weights import fill


def from_tensors(config: Config, official: dict[str, Tensor]) -> nn.Module:
    """In eval mode. Raises GenstudioError where a name or a shape does not fit."""
    converted = from_official(official, table_for(config), registry.shapes(config))
    return fill(registry.build(config), converted.tensors, "the fixture").eval()
