"""Official tensor names of VAR (arXiv 2404.02905) and its tokenizer.

The official files also hold buffers: the level of every slot, the additive block-causal mask, a zero key bias
per block, and the tokenizer's running code counts. All but the counts follow from the architecture.
Shapes: L slots, K scales, V codes, C width.
"""

from functools import partial

import torch
from torch import Tensor

from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.configs.var import NextScaleConfig, VARConfig
from genstudio.releases.rename import Derived, Rename, Table


def transformer_table(config: VARConfig) -> Table:
    """Names of the transformer, with per-block or shared adaLN, with or without L2-normalised attention."""
    zero_bias = partial(torch.zeros, config.width)
    derived = (
        Derived("lvl_1L", lambda: levels(config)[None]),
        Derived("attn_bias_for_masking", lambda: block_causal_bias(config)),
        *(Derived(f"blocks.{n}.attn.zero_k_bias", zero_bias) for n in range(config.depth)),
    )
    return Table(renames(config), derived)


def renames(config: NextScaleConfig) -> tuple[Rename, ...]:
    """All names but those of buffers."""
    adaln = SHARED_ADALN if config.shared_adaln else BLOCK_ADALN
    return (*TRUNK, *adaln, *((ATTENTION_SCALE,) if config.l2_attention else ()))


def tokenizer_table(config: MultiScaleVQConfig) -> Table:
    """Names of the VQVAE. One phi for all scales and one phi for each scale are spelt in their own ways."""
    counts = partial(torch.zeros, len(config.sizes), config.vocab)
    phis = ONE_PHI if config.phis == 1 else SEVERAL_PHIS
    return Table((*AUTOENCODER, phis), (Derived("quantize.ema_vocab_hit_SV", counts, checked=False),))


TRUNK = (
    Rename("word_embed.*", "word_embed.*"),
    Rename("class_embed.weight", "class_emb.weight"),
    Rename("start_pos", "pos_start"),
    Rename("slot_pos", "pos_1LC"),
    Rename("level_embed.weight", "lvl_embed.weight"),
    Rename("blocks.{n}.attn.qkv.weight", "blocks.{n}.attn.mat_qkv.weight"),
    Rename("blocks.{n}.attn.q_bias", "blocks.{n}.attn.q_bias"),
    Rename("blocks.{n}.attn.v_bias", "blocks.{n}.attn.v_bias"),
    Rename("blocks.{n}.attn.proj.*", "blocks.{n}.attn.proj.*"),
    Rename("blocks.{n}.mlp.fc1.*", "blocks.{n}.ffn.fc1.*"),
    Rename("blocks.{n}.mlp.fc2.*", "blocks.{n}.ffn.fc2.*"),
    Rename("head_adaln.linear.*", "head_nm.ada_lin.1.*"),
    Rename("head.*", "head.*"),
)
ATTENTION_SCALE = Rename("blocks.{n}.attn.log_scale", "blocks.{n}.attn.scale_mul_1H11")
# The 1 is the place behind a SiLU in an official nn.Sequential.
BLOCK_ADALN = (Rename("blocks.{n}.adaln.linear.*", "blocks.{n}.ada_lin.1.*"),)
SHARED_ADALN = (
    Rename("adaln.linear.*", "shared_ada_lin.1.*"),
    Rename("blocks.{n}.adaln.offset", "blocks.{n}.ada_gss"),
)

AUTOENCODER = (
    Rename("encoder.*", "encoder.*"),
    Rename("decoder.*", "decoder.*"),
    Rename("quant_conv.*", "quant_conv.*"),
    Rename("post_quant_conv.*", "post_quant_conv.*"),
    Rename("quantize.codebook.weight", "quantize.embedding.weight"),
)
ONE_PHI = Rename("quantize.phis.0.*", "quantize.quant_resi.qresi.*")
SEVERAL_PHIS = Rename(
    "quantize.phis.{n}.*", "quantize.quant_resi.qresi_ls.{n}.*", also=("quantize.quant_resi.{n}.*",)
)


def levels(config: VARConfig) -> Tensor:
    """The scale of every slot, int64 [L]."""
    areas = torch.tensor([size * size for size in config.sizes])
    return torch.repeat_interleave(torch.arange(len(config.sizes)), areas)


def block_causal_bias(config: VARConfig) -> Tensor:
    """Added to attention scores in training: 0 where the key's scale is not finer, else -inf; [1,1,L,L]."""
    level_L = levels(config)
    sees_LL = level_L[:, None] >= level_L[None, :]
    return torch.zeros(sees_LL.shape).masked_fill(~sees_LL, -torch.inf)[None, None]
