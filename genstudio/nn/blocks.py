"""The Llama block: RMSNorm, attention with rotary positions, SwiGLU; no biases (LlamaGen, NAR, D-AR).

Places are rotations that the network looked up by slot; the block itself counts nothing. Keys are cached
after the rotation.
Shapes: R rows, n fed slots, C width, H heads, D head width, P = D/2 pairs.
"""

import math

from einops import rearrange
from torch import Tensor, nn

from genstudio.cache.protocol import Cache, Query
from genstudio.nn.attention import attend, remember
from genstudio.nn.linear import Linear
from genstudio.nn.mlp import SwiGLU
from genstudio.nn.norms import RMSNorm
from genstudio.nn.rope import rotate
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


class LlamaAttention(nn.Module):
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
        qkv_RntHD = rearrange(self.qkv(x_RnC), "R n (three H D) -> R n three H D", three=3, H=self.heads)
        raw_RntHD, v_RnHD = qkv_RntHD[:, :, :2], qkv_RntHD[:, :, 2]
        qk_RntHD = raw_RntHD if turns_RnP is None else rotate(raw_RntHD, turns_RnP)
        q_RHnD, k_RHnD = rearrange(qk_RntHD, "R n two H D -> two R H n D")
        query = Query(rearrange(raw_RntHD[:, :, 0], "R n H D -> R H n D"), q_RHnD)
        kv = remember(cache, layer, k_RHnD, rearrange(v_RnHD, "R n H D -> R H n D"), feed, query)
        y_RHnD = attend(q_RHnD, kv, feed, self.scale)
        return self.proj(rearrange(y_RHnD, "R H n D -> R n (H D)"))
