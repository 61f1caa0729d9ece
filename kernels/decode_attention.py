"""Attention of a few fed tokens to rows of different lengths: decoding a batch under speculation.

Entries of a row are `past` ones, of which its own length and what is open decide, and the fed tokens behind
them, which see each other under any mask (causal, a tree of drafts). Scores and sums are float32, float64
where the queries are. Every token has to see something, itself at the least.
Shapes: R rows, H heads, n fed tokens, p past entries, m = p + n entries, D head width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .select import Kernels


def decode_attention(
    q_RHnD: Tensor,
    k_RHmD: Tensor,
    v_RHmD: Tensor,
    length_R: Tensor,
    open_Rp: Tensor,
    among_Rnn: Tensor,
    scale: float,
    kernels: Kernels,
) -> Tensor:
    """softmax(scale q k^T) v, [R,H,n,D] in the dtype of the three.

    Past entry j of a row is seen where j < length (int64) and `open_Rp` is True; fed token j by token i where
    `among_Rnn` is ([1,n,n] for all rows alike). Keys and values may be slices of longer buffers.
    """
    if kernels == "triton":
        from .decode_attention_triton import decode_attention_triton

        return decode_attention_triton(q_RHnD, k_RHmD, v_RHmD, length_R, open_Rp, among_Rnn, scale)
    return decode_attention_torch(q_RHnD, k_RHmD, v_RHmD, length_R, open_Rp, among_Rnn, scale)


def decode_attention_torch(
    q_RHnD: Tensor,
    k_RHmD: Tensor,
    v_RHmD: Tensor,
    length_R: Tensor,
    open_Rp: Tensor,
    among_Rnn: Tensor,
    scale: float,
) -> Tensor:
    """The torch twin of `decode_attention`: the mask is written out, and all entries are read."""
    rows, past = open_Rp.shape
    fed = among_Rnn.shape[-1]
    past_Rp = open_Rp & (torch.arange(past, device=open_Rp.device) < length_R[:, None])
    past_Rnp = past_Rp[:, None].expand(rows, fed, past)
    seen_R1nm = torch.cat([past_Rnp, among_Rnn.expand(rows, fed, fed)], dim=-1)[:, None]
    return F.scaled_dot_product_attention(q_RHnD, k_RHmD, v_RHmD, attn_mask=seen_R1nm, scale=scale)
