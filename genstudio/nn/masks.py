"""Masks are values; here they become what attention kernels take.

Shapes: R rows, n fed slots, m visible entries (committed first, then the n fed ones). True = may attend.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.samplers.values import Blocks, Causal, Dense, Feed, Full, Mask, Tree


def lower(feed: Feed, fed: int, committed: int, committed_open_Rm: Tensor | None) -> Tensor | None:
    """The mask over committed and fed entries as bool, broadcastable to [R, 1, n, m]; None if all is visible.

    Padding (a closed slot) is seen by itself alone, so that its row of the softmax is never empty.
    """
    if isinstance(feed.mask, Full) and feed.open_Rn is None and committed_open_Rm is None:
        return None
    if fed == 1:  # sees itself, open or not
        return (
            None if committed_open_Rm is None else F.pad(committed_open_Rm, (0, 1), value=True)[:, None, None]
        )
    among_Rnn = among(feed, fed)
    if committed_open_Rm is None:
        past_Rm = torch.ones(1, committed, dtype=torch.bool, device=among_Rnn.device)
    else:
        past_Rm = committed_open_Rm
    rows = max(among_Rnn.shape[0], past_Rm.shape[0])
    past_Rnm = past_Rm[:, None, :].expand(rows, fed, past_Rm.shape[-1])
    return torch.cat([past_Rnm, among_Rnn.expand(rows, fed, fed)], dim=-1)[:, None]


def among(feed: Feed, fed: int) -> Tensor:
    """What the fed slots see of each other, padding included: [1,n,n] or [R,n,n]."""
    among_Rnn = fed_mask(feed.mask, fed, feed.at_Rn.device)
    if feed.open_Rn is None:
        return among_Rnn
    own_nn = torch.eye(fed, dtype=torch.bool, device=among_Rnn.device)
    return (among_Rnn & feed.open_Rn[:, None, :]) | own_nn


def fed_mask(mask: Mask, fed: int, device: torch.device) -> Tensor:
    """The mask among the fed slots, [1,n,n] or [R,n,n]."""
    match mask:
        case Full():
            return torch.ones(1, fed, fed, dtype=torch.bool, device=device)
        case Causal():
            return torch.ones(1, fed, fed, dtype=torch.bool, device=device).tril()
        case Blocks(sizes):
            counts = torch.tensor(sizes, device=device)
            block_n = torch.repeat_interleave(torch.arange(len(sizes), device=device), counts)
            return (block_n[:, None] >= block_n[None, :])[None]
        case Tree(parents):
            return _ancestors(parents).to(device)[None]
        case Dense(allow):
            return allow if allow.dim() == 3 else allow[None]


def _ancestors(parents: tuple[int, ...]) -> Tensor:
    """[n,n]: row i is True at i and at every ancestor of i."""
    sees = torch.eye(len(parents), dtype=torch.bool)
    for child, parent in enumerate(parents):
        if parent >= 0:
            sees[child] |= sees[parent]
    return sees
