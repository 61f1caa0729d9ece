"""VAR: next-scale prediction, class-conditional (arXiv 2404.02905).

A decoder-only transformer that predicts a whole code map of the next resolution per step. It reads the
latent accumulated so far, never a token embedding. Differs from the official code: adaLN rows are computed
once per picture, keys and values live in a cache that is passed in, and labels are never dropped here.
Shapes: R rows, n fed slots, L slots of a picture, C width, D head width, V codes, K scales.
"""

import math
from collections.abc import Callable
from itertools import accumulate

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from genstudio.cache.protocol import Cache, Query
from genstudio.configs.students import VARStudentConfig
from genstudio.configs.var import NextScaleConfig, VARConfig
from genstudio.generators.base import Generator
from genstudio.nn.adaln import GATES_FIRST, AdaLN, ModulatedNorm, Modulation
from genstudio.nn.attention import attend, remember
from genstudio.nn.linear import Linear, linear
from genstudio.nn.mlp import MLP
from genstudio.samplers.orders import ScaleOrder
from genstudio.samplers.values import ALL, Cond, Feed, Given

MAX_LOG_SCALE = math.log(100)


class NextScale(Generator):
    """What VAR and its distilled students share: slots of several levels, under rows of a class.

    `levels` are the side lengths of what its slots stand for, `block` makes a block.
    """

    config: VARConfig | VARStudentConfig
    level_ends: Tensor

    def __init__(
        self,
        config: NextScaleConfig,
        levels: tuple[int, ...],
        block: "Callable[[NextScaleConfig], Block]",
    ) -> None:
        super().__init__()
        width, ends = config.width, tuple(accumulate(side * side for side in levels))
        self.word_embed = Linear(config.code_width, width)
        self.class_embed = nn.Embedding(config.classes + 1, width)
        self.start_pos = nn.Parameter(torch.empty(1, 1, width))
        self.slot_pos = nn.Parameter(torch.empty(1, ends[-1], width))
        self.level_embed = nn.Embedding(len(levels), width)
        self.adaln = AdaLN(width, width, 6) if config.shared_adaln else nn.Identity()
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))
        self.head_adaln = AdaLN(width, width, 2)
        self.head_norm = ModulatedNorm(config.norm_eps)
        self.head = Linear(width, config.vocab)
        self.register_buffer("level_ends", torch.tensor(ends, device="cpu"), persistent=False)

    @property
    def order(self) -> ScaleOrder:
        """One unit per scale."""
        return ScaleOrder(tuple(size * size for size in self.config.sizes))

    def condition(self, given: Given, null: bool) -> Cond:
        """Start slot and adaLN rows of labels [B]; `null` appends the unconditional rows."""
        if given.label_B is None:
            raise ValueError("VAR is conditioned on labels; none were given.")
        label_R = given.label_B
        if null:
            label_R = torch.cat([label_R, torch.full_like(label_R, self.config.classes)])
        class_RC = self.class_embed(label_R)
        shared_RC = self.adaln(class_RC)
        rows = [block.get_submodule("adaln")(shared_RC) for block in self.blocks]
        return Cond(class_RC[:, None] + self.start_pos, (*rows, self.head_adaln(class_RC)))

    def embed(self, features_RnC: Tensor) -> Tensor:
        """What is read, [R, n, code width], to the width of the transformer."""
        return self.word_embed(features_RnC.to(self.word_embed.weight.dtype))

    def logits(self, h_RnC: Tensor, cond: Cond) -> Tensor:
        """float32 logits [R,n,V]."""
        scale_RC, shift_RC = cond.rows[self.config.depth].unbind(1)
        return self.head(self.head_norm(h_RnC, scale_RC, shift_RC)).float()

    def places(self, at_Rn: Tensor) -> Tensor:
        """Position and level of slots, as the input of the first block has them."""
        return self.slot_pos[0, at_Rn] + self.level_embed(self.level(at_Rn))

    def level(self, at_Rn: Tensor) -> Tensor:
        """Which level a slot belongs to."""
        return torch.bucketize(at_Rn, self.level_ends, right=True)


class VAR(NextScale):
    """The network: condition once, then embed, forward and logits for each scale."""

    config: VARConfig

    def __init__(self, config: VARConfig) -> None:
        super().__init__(config, config.sizes, Block)
        self.config = config

    def forward(
        self, x_RnC: Tensor, feed: Feed, cond: Cond, cache: Cache | None = None, span: slice = ALL
    ) -> Tensor:
        """Hidden states of the blocks in `span`; the first block's input gets position and level."""
        for layer in range(self.config.depth)[span]:
            if layer == 0:
                x_RnC = x_RnC + self.places(feed.at_Rn)
            x_RnC = self.blocks[layer](x_RnC, cond.rows[layer], feed, cache, layer)
        return x_RnC


class Block(nn.Module):
    """Attention and MLP, each gated and modulated by the condition."""

    def __init__(self, config: NextScaleConfig) -> None:
        super().__init__()
        width = config.width
        self.adaln = Offset(width) if config.shared_adaln else AdaLN(width, width, 6)
        self.norm = ModulatedNorm(config.norm_eps)
        self.attn = Attention(width, config.heads, config.l2_attention)
        self.mlp = MLP(width, round(width * config.mlp_ratio))

    def forward(self, x_RnC: Tensor, rows_R6C: Tensor, feed: Feed, cache: Cache | None, layer: int) -> Tensor:
        mod = Modulation.unpack(rows_R6C, GATES_FIRST)
        return self.widened(self.attended(x_RnC, mod, feed, cache, layer), mod)

    def attended(self, x_RnC: Tensor, mod: Modulation, feed: Feed, cache: Cache | None, layer: int) -> Tensor:
        """The first half: what slots see of each other."""
        y_RnC = self.attn(self.norm(x_RnC, mod.scale1, mod.shift1), feed, cache, layer)
        return torch.addcmul(x_RnC, mod.gate1[:, None], y_RnC)

    def widened(self, x_RnC: Tensor, mod: Modulation) -> Tensor:
        """The second half: the MLP."""
        y_RnC = self.mlp(self.norm(x_RnC, mod.scale2, mod.shift2))
        return torch.addcmul(x_RnC, mod.gate2[:, None], y_RnC)


class Offset(nn.Module):
    """A block's own offset to the adaLN rows that all blocks share (the 512 px release)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.empty(1, 1, 6, width))

    def forward(self, shared_R6C: Tensor) -> Tensor:
        return shared_R6C + self.offset[0]


class Attention(nn.Module):
    """Self-attention with an optional L2 norm of queries and keys and a learned scale per head.

    Keys are cached after the norm. The key has no bias. Without the norm the scale is 0.25 / sqrt(D).
    """

    def __init__(self, width: int, heads: int, l2: bool) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1.0 if l2 else 0.25 / math.sqrt(width // heads)
        self.qkv = Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.log_scale = nn.Parameter(torch.empty(1, heads, 1, 1)) if l2 else None
        self.proj = Linear(width, width)

    def forward(self, x_RnC: Tensor, feed: Feed, cache: Cache | None, layer: int) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = linear(x_RnC, self.qkv.weight, bias)
        raw_RHnD, k_RHnD, v_RHnD = rearrange(qkv, "R n (three H D) -> three R H n D", three=3, H=self.heads)
        q_RHnD = raw_RHnD
        if self.log_scale is not None:
            q_RHnD = F.normalize(raw_RHnD, dim=-1) * self.log_scale.clamp(max=MAX_LOG_SCALE).exp()
            k_RHnD = F.normalize(k_RHnD, dim=-1)
        kv = remember(cache, layer, k_RHnD, v_RHnD, feed, Query(raw_RHnD, q_RHnD))
        y_RHnD = attend(q_RHnD, kv, feed, self.scale)
        return self.proj(rearrange(y_RHnD, "R H n D -> R n (H D)"))


def teacher_forced(network: VAR, features_BnC: Tensor, given: Given) -> Tensor:
    """Logits [B,L,V] of all scales in one pass.

    `features_BnC` [B, L-1, code width] feed the scales after the first (`pyramid.teacher` makes them).
    """
    cond = network.condition(given, null=False)
    x_BLC = torch.cat([cond.start_RTD, network.embed(features_BnC)], dim=1)
    at_1L = torch.arange(x_BLC.shape[1], device=x_BLC.device)[None]
    h_BLC = network.forward(x_BLC, Feed(at_1L, network.order.mask()), cond)
    return network.logits(h_BLC, cond)


def initialise(network: NextScale, generator: torch.Generator) -> None:
    """The official initial values (var.md section 6 lists them), from one seeded generator.

    Truncated normals of std sqrt(1 / 3C); head x 0.02; adaLN rows after the gates x 0.5, gate rows x 1e-3;
    output projections divided by sqrt(2 depth); biases 0; attention scale log 4.
    """
    std = math.sqrt(1 / (3 * network.config.width))
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("bias"):
                value.zero_()
            elif name.endswith("log_scale"):
                value.fill_(math.log(4))
            elif name.endswith("offset"):
                nn.init.normal_(value, std=1 / math.sqrt(network.config.width), generator=generator)
                value[:, :, :2] *= 1e-3
                value[:, :, 2:] *= 0.5
            else:
                nn.init.trunc_normal_(value, std=std, generator=generator)
        network.head.weight *= 0.02
        network.head_adaln.linear.weight *= 0.02
        for adaln in _adalns(network):
            gates = 2 * network.config.width
            adaln.linear.weight[:gates] *= 1e-3
            adaln.linear.weight[gates:] *= 0.5
        for name, value in network.named_parameters():
            if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
                value.div_(math.sqrt(2 * network.config.depth))


def _adalns(network: NextScale) -> list[AdaLN]:
    """The adaLN layers with six chunks, shared or per block."""
    return [one for one in network.modules() if isinstance(one, AdaLN) and one.chunks == 6]
