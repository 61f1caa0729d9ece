"""The only attention of the studio: queries against what a cache returns, under a mask that is a value.

Shapes: R rows, H heads, n fed slots, m visible entries, D head width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from genstudio_kernels.decode_attention import decode_attention
from genstudio_kernels.select import Kernels
from torch import Tensor

from genstudio.cache.protocol import KV, Cache, Query
from genstudio.nn.masks import among, lower
from genstudio.samplers.values import Causal, Feed


def attend(q_RHnD: Tensor, kv: KV, feed: Feed, scale: float, kernels: Kernels = "torch") -> Tensor:
    """softmax(scale q k^T) v over the committed entries and the fed slots that `feed` lets each slot see.

    `kernels` is the twin for rows of different lengths."""
    fed, seen = q_RHnD.shape[2], kv.k_RHmD.shape[2]
    k_RHmD, v_RHmD = kv.k_RHmD.to(q_RHnD.dtype), kv.v_RHmD.to(q_RHnD.dtype)
    if kv.length_R is not None and kv.committed_open_Rm is not None:
        lengths, fed_Rnn = (kv.length_R, kv.committed_open_Rm), among(feed, fed)
        return decode_attention(q_RHnD, k_RHmD, v_RHmD, *lengths, fed_Rnn, scale, kernels)
    plain = feed.open_Rn is None and kv.committed_open_Rm is None
    if plain and seen == fed and isinstance(feed.mask, Causal):
        return fused(q_RHnD, k_RHmD, v_RHmD, scale, causal=True)
    mask = lower(feed, fed, seen - fed, kv.committed_open_Rm)
    return fused(q_RHnD, k_RHmD, v_RHmD, scale, mask)


def fused(
    q_RHnD: Tensor,
    k_RHmD: Tensor,
    v_RHmD: Tensor,
    scale: float,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """softmax(scale q k^T) v over all entries, by torch's own kernel.

    Gradients on a CPU go through float32: there the backward pass in bfloat16 takes four times as long
    (torch 2.14, 128 rows of 6 heads, 155 slots, 32 wide: 264 against 60 ms).
    """
    arguments: dict[str, Any] = {"attn_mask": mask, "is_causal": causal, "scale": scale}
    if not (q_RHnD.requires_grad and q_RHnD.device.type == "cpu"):
        return F.scaled_dot_product_attention(q_RHnD, k_RHmD, v_RHmD, **arguments)
    dtype = torch.promote_types(q_RHnD.dtype, torch.float32)
    with torch.autocast("cpu", enabled=False):
        q, k, v = (one.to(dtype) for one in (q_RHnD, k_RHmD, v_RHmD))
        return F.scaled_dot_product_attention(q, k, v, **arguments).to(q_RHnD.dtype)


def remember(
    cache: Cache | None, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None
) -> KV:
    """Write into the cache if there is one; without one (training) the fed slots are all there is."""
    if cache is None:
        return KV(k_RHnD, v_RHnD)
    return cache.write(layer, k_RHnD, v_RHnD, feed, query)
