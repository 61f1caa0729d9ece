"""Transformer blocks without a condition of their own.

Llama's: RMSNorm, attention with rotary positions, SwiGLU, no biases (LlamaGen, NAR, D-AR). Places are
rotations that the network looked up by slot; the block itself counts nothing. Keys are cached after the
rotation. ViT's: layer norms, attention without positions, GELU (MAR, Hi-MAR); all slots at once, no cache.
Shapes: R rows, n fed slots, m asked slots, C width, t = query, key, value, H heads, D head width, P = D/2
pairs.
"""

import math

import torch
from torch import Tensor, nn

from genstudio.cache.protocol import Cache, Query
from genstudio.nn.attention import attend, fused, remember
from genstudio.nn.linear import Linear
from genstudio.nn.mlp import MLP, SwiGLU
from genstudio.nn.norms import RMSNorm
from genstudio.nn.rope import rotate
from genstudio.nn.twins import Twin
from genstudio.samplers.values import Feed


class LlamaBlock(nn.Module):
    """x + attention(norm(x)), then + mlp(norm(.))."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.norm1 = RMSNorm(width, eps)
        self.attn = LlamaAttention(width, heads)
        self.norm2 = RMSNorm(width, eps)
        self.mlp = SwiGLU(width, hidden)

    def forward(
        self, x_RnC: Tensor, turns_RnP: Tensor | None, feed: Feed, cache: Cache | None, layer: int
    ) -> Tensor:
        """`turns_RnP` may be None where positions are learned and added to x instead (NAR's videos)."""
        x_RnC = x_RnC + self.attn(self.norm1(x_RnC), turns_RnP, feed, cache, layer)
        return x_RnC + self.mlp(self.norm2(x_RnC))


class LlamaAttention(Twin):
    """Self-attention with scale 1/sqrt(D); the rows of `qkv` are queries, keys, values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(width // heads)
        self.qkv = Linear(width, 3 * width, bias=False)
        self.proj = Linear(width, width, bias=False)

    def forward(
        self, x_RnC: Tensor, turns_RnP: Tensor | None, feed: Feed, cache: Cache | None, layer: int
    ) -> Tensor:
        # Torch's own views: in steps of one slot einops takes 3 % of the time on a CPU.
        qkv_tRHnD = self.qkv(x_RnC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        raw_tRHnD, v_RHnD = qkv_tRHnD[:2], qkv_tRHnD[2]
        q_RHnD, k_RHnD = raw_tRHnD if turns_RnP is None else rotate(raw_tRHnD, turns_RnP)
        kv = remember(cache, layer, k_RHnD, v_RHnD, feed, Query(raw_tRHnD[0], q_RHnD))
        y_RHnD = attend(q_RHnD, kv, feed, self.scale, self.kernels)
        return self.proj(y_RHnD.transpose(1, 2).flatten(2))


class ViTBlock(nn.Module):
    """x + attention(norm(x)), then + mlp(norm(.)), of all slots, or of those alone that are asked for."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = ViTAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, hidden, approximate="none")

    def forward(self, x_RnC: Tensor, asked_Rm: Tensor | None = None) -> Tensor:
        """`asked_Rm` are places in x whose results are wanted: [R,m,C]."""
        y_RmC = self.attn(self.norm1(x_RnC), asked_Rm)
        x_RmC = (x_RnC if asked_Rm is None else torch.take_along_dim(x_RnC, asked_Rm[..., None], 1)) + y_RmC
        return x_RmC + self.mlp(self.norm2(x_RmC))


class ViTAttention(nn.Module):
    """Every slot sees every slot, scale 1/sqrt(D); the rows of `qkv` are queries, keys, values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(width // heads)
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x_RnC: Tensor, asked_Rm: Tensor | None = None) -> Tensor:
        qkv_tRHnD = self.qkv(x_RnC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q_RHmD, k_RHnD, v_RHnD = qkv_tRHnD
        if asked_Rm is not None:
            q_RHmD = torch.take_along_dim(q_RHmD, asked_Rm[:, None, :, None], 2)
        y_RHmD = fused(q_RHmD, k_RHnD, v_RHnD, self.scale)
        return self.proj(y_RHmD.transpose(1, 2).flatten(2))
