"""Official tensor names of the NAR transformer for pictures (arXiv 2503.10696).

It is a fork of LlamaGen and keeps those names: its head is the one to the right. The head below, an exit
deeper, is called after Medusa.
"""

from genstudio.configs.nar import NARConfig
from genstudio.releases.rename import Rename, Table
from genstudio.releases.table_llamagen import KEPT_KEYS, trunk


def nar_table(config: NARConfig) -> Table:
    """Names of the transformer, conditioned on classes or on captions."""
    return Table((*trunk(config), *HEADS), scratch=KEPT_KEYS)


HEADS = (
    Rename("norms.0.weight", "norm.weight"),
    Rename("heads.0.weight", "output.weight"),
    Rename("norms.1.weight", "medusa_norm.weight"),
    Rename("heads.1.weight", "medusa_output.weight"),
)
