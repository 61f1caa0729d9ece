"""Nearest codes: the one search that every vector quantiser of the studio uses.

Shapes: N vectors, V codes, C width.
"""

import torch
from torch import Tensor


def nearest_code(z_NC: Tensor, table_VC: Tensor) -> Tensor:
    """Index [N] of the code with the smallest squared Euclidean distance; the lowest index wins a tie.

    The term |z|^2 is the same for every code and left out, so one matrix product is all the work.
    """
    half_norm_V = 0.5 * table_VC.square().sum(dim=1)
    return torch.addmm(half_norm_V, z_NC, table_VC.t(), alpha=-1).argmin(dim=1)
