"""Official tensor names of LANTERN's files: LlamaGen under converted names, and EAGLE's draft network.

Rotations stay those of LlamaGen (pairs side by side): the converted queries and keys are not permuted.
"""

from genstudio.configs.drafter import DrafterConfig
from genstudio.releases.rename import Rename, Table


def converted_llamagen_table() -> Table:
    """A LlamaGen conditioned on captions as LANTERN publishes it."""
    names = (
        Rename("code_embed.weight", "model.embed_tokens.weight"),
        Rename("cond_embed.fc1.weight", "model.cls_embedding.cap_proj.fc1.weight"),
        Rename("cond_embed.fc2.weight", "model.cls_embedding.cap_proj.fc2.weight"),
        Rename("cond_embed.null_TE", "model.cls_embedding.uncond_embedding"),
        Rename("norm.weight", "model.norm.weight"),
        Rename("head.weight", "lm_head.weight"),
    )
    return Table((*names, *_block("model.")))


def drafter_table(config: DrafterConfig) -> Table:
    """The first layer has no norm of its input, so that only further ones are found under its name."""
    names = (
        Rename("code_embed.weight", "embed_tokens.weight"),
        Rename("fc.weight", "fc.weight"),
        *((Rename("fc.bias", "fc.bias"),) if config.bias else ()),
    )
    return Table((*names, *_block("")))


def _block(prefix: str) -> tuple[Rename, ...]:
    layer = prefix + "layers.{n}."
    return (
        Rename("blocks.{n}.norm1.weight", layer + "input_layernorm.weight"),
        Rename("blocks.{n}.attn.qkv.weight", layer + "self_attn.{part}_proj.weight", parts=("q", "k", "v")),
        Rename("blocks.{n}.attn.proj.weight", layer + "self_attn.o_proj.weight"),
        Rename("blocks.{n}.norm2.weight", layer + "post_attention_layernorm.weight"),
        Rename("blocks.{n}.mlp.gate.weight", layer + "mlp.gate_proj.weight"),
        Rename("blocks.{n}.mlp.up.weight", layer + "mlp.up_proj.weight"),
        Rename("blocks.{n}.mlp.down.weight", layer + "mlp.down_proj.weight"),
    )
