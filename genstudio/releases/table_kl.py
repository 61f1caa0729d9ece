"""Official tensor names of LDM's KL autoencoder (arXiv 2112.10752), as MAR's KL-16 has them.

They are VAR's, but that queries, keys and values are three convolutions. A file of LDM's own training also
holds its losses' networks, which are dropped.
"""

from genstudio.configs.kl import KLConfig
from genstudio.releases.rename import Rename, Table


def kl_table(config: KLConfig) -> Table:
    """Names of encoder and decoder; all numbers stand in the names themselves."""
    del config
    return Table((*ATTENTION, *REST), scratch=("loss.*",))


ATTENTION = tuple(
    Rename(f"{place}.qkv.*", f"{place}.{{part}}.*", parts=("q", "k", "v"))
    for place in (
        *(f"{side}.mid.attn_1" for side in ("encoder", "decoder")),
        *("encoder.down.{level}.attn.{n}", "decoder.up.{level}.attn.{n}"),
    )
)
REST = tuple(
    Rename(f"{part}.*", f"{part}.*") for part in ("encoder", "decoder", "quant_conv", "post_quant_conv")
)
