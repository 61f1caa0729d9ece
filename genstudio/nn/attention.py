"""The only attention of the studio: queries against what a cache returns, under a mask that is a value.

Shapes: R rows, H heads, n fed slots, m visible entries, D head width.
"""

import torch.nn.functional as F
from torch import Tensor

from genstudio.cache.protocol import KV, Cache, Query
from genstudio.nn.masks import lower
from genstudio.samplers.values import Causal, Feed


def attend(q_RHnD: Tensor, kv: KV, feed: Feed, scale: float) -> Tensor:
    """softmax(scale q k^T) v over the committed entries and the fed slots that `feed` lets each slot see."""
    fed, seen = q_RHnD.shape[2], kv.k_RHmD.shape[2]
    k_RHmD, v_RHmD = kv.k_RHmD.to(q_RHnD.dtype), kv.v_RHmD.to(q_RHnD.dtype)
    plain = feed.open_Rn is None and kv.committed_open_Rm is None
    if plain and seen == fed and isinstance(feed.mask, Causal):
        return F.scaled_dot_product_attention(q_RHnD, k_RHmD, v_RHmD, is_causal=True, scale=scale)
    mask = lower(feed, fed, seen - fed, kv.committed_open_Rm)
    return F.scaled_dot_product_attention(q_RHnD, k_RHmD, v_RHmD, attn_mask=mask, scale=scale)


def remember(
    cache: Cache | None, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None
) -> KV:
    """Write into the cache if there is one; without one (training) the fed slots are all there is."""
    if cache is None:
        return KV(k_RHnD, v_RHnD)
    return cache.write(layer, k_RHnD, v_RHnD, feed, query)
