"""Official tensor names of LlamaGen's VQ tokenizers (arXiv 2406.06525).

The official code numbers the decoder's levels from the deepest, keeps queries, keys and values in three
convolutions, and stores a buffer of codes seen in training, which its strict loader asks for.
"""

from collections.abc import Iterator

import torch

from genstudio.configs.vq import VQConfig
from genstudio.releases.rename import Derived, Rename, Table

SEEN = 65_536  # codes that the buffer remembers, whatever the size of the codebook


def vq_table(config: VQConfig) -> Table:
    """Names of encoder, decoder and codebook; the levels of the decoder are counted from the other end."""
    levels = len(config.width_mult)
    renames = [*ENDS]
    for level in range(levels):
        renames += _level(f"encoder.down.{level}", f"encoder.conv_blocks.{level}")
        renames += _level(f"decoder.up.{level}", f"decoder.conv_blocks.{levels - 1 - level}")
    for side in ("encoder", "decoder"):
        renames += _middle(f"{side}.mid")
    seen = Derived("quantize.codebook_used", lambda: torch.zeros(SEEN), checked=False)
    return Table(tuple(renames), (seen,))


ENDS = (
    Rename("encoder.conv_in.*", "encoder.conv_in.*"),
    Rename("encoder.norm_out.*", "encoder.norm_out.*"),
    Rename("encoder.conv_out.*", "encoder.conv_out.*"),
    Rename("decoder.conv_in.*", "decoder.conv_in.*"),
    Rename("decoder.norm_out.*", "decoder.norm_out.*"),
    Rename("decoder.conv_out.*", "decoder.conv_out.*"),
    Rename("quant_conv.*", "quant_conv.*"),
    Rename("post_quant_conv.*", "post_quant_conv.*"),
    Rename("quantize.codebook.weight", "quantize.embedding.weight"),
)


def _level(ours: str, official: str) -> Iterator[Rename]:
    yield Rename(f"{ours}.block.*", f"{official}.res.*")
    yield from _attention(f"{ours}.attn.{{n}}", f"{official}.attn.{{n}}")
    yield Rename(f"{ours}.downsample.*", f"{official}.downsample.*")
    yield Rename(f"{ours}.upsample.*", f"{official}.upsample.*")


def _middle(name: str) -> Iterator[Rename]:
    yield Rename(f"{name}.block_1.*", f"{name}.0.*")
    yield from _attention(f"{name}.attn_1", f"{name}.1")
    yield Rename(f"{name}.block_2.*", f"{name}.2.*")


def _attention(ours: str, official: str) -> Iterator[Rename]:
    yield Rename(f"{ours}.qkv.*", f"{official}.{{part}}.*", parts=("q", "k", "v"))
    yield Rename(f"{ours}.norm.*", f"{official}.norm.*")
    yield Rename(f"{ours}.proj_out.*", f"{official}.proj_out.*")
