"""Official tensor names of the LlamaGen transformer (arXiv 2406.06525).

A file that was saved after sampling also holds the keys and values of that run. Rope table and mask are in no
file.
"""

from genstudio.configs.llamagen import LlamaConfig, LlamaGenConfig
from genstudio.releases.rename import Rename, Table


def llamagen_table(config: LlamaGenConfig) -> Table:
    """Names of the transformer, conditioned on classes or on captions."""
    return Table((*trunk(config), *HEAD), scratch=KEPT_KEYS)


def trunk(config: LlamaConfig) -> tuple[Rename, ...]:
    """All names but those of the head."""
    return (*TRUNK, *(CAPTION if config.caption else LABEL))


TRUNK = (
    Rename("code_embed.weight", "tok_embeddings.weight"),
    Rename("blocks.{n}.norm1.weight", "layers.{n}.attention_norm.weight"),
    Rename("blocks.{n}.attn.qkv.weight", "layers.{n}.attention.wqkv.weight"),
    Rename("blocks.{n}.attn.proj.weight", "layers.{n}.attention.wo.weight"),
    Rename("blocks.{n}.norm2.weight", "layers.{n}.ffn_norm.weight"),
    Rename("blocks.{n}.mlp.gate.weight", "layers.{n}.feed_forward.w1.weight"),
    Rename("blocks.{n}.mlp.up.weight", "layers.{n}.feed_forward.w3.weight"),
    Rename("blocks.{n}.mlp.down.weight", "layers.{n}.feed_forward.w2.weight"),
)
HEAD = (
    Rename("norm.weight", "norm.weight"),
    Rename("head.weight", "output.weight"),
)
LABEL = (Rename("cond_embed.table.weight", "cls_embedding.embedding_table.weight"),)
CAPTION = (
    Rename("cond_embed.fc1.weight", "cls_embedding.cap_proj.fc1.weight"),
    Rename("cond_embed.fc2.weight", "cls_embedding.cap_proj.fc2.weight"),
    Rename("cond_embed.null_TE", "cls_embedding.uncond_embedding"),
)
KEPT_KEYS = ("layers.{n}.attention.kv_cache.*",)
