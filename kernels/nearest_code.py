"""Nearest codes of a codebook, without the N x V matrix of distances.

The search keeps the best code so far and runs over blocks of the codebook; |z|^2 is the same for every code
and left out, so a distance is half |c|^2 - z c. The lowest index wins a tie. Sums are float32, float64 where
the input is. Exactly equal codes tie in both twins; near ties may fall either way, as sums round differently.
Shapes: N vectors, V codes, C width; r vectors and c codes of one block.
"""

import torch
from torch import Tensor

from .select import Kernels

ROWS, CODES = 4096, 1024  # distances held at one time: 16 MB in float32


def nearest_code(z_NC: Tensor, table_VC: Tensor, kernels: Kernels) -> Tensor:
    """Index [N] (int64) of the code with the smallest Euclidean distance; 0 for a vector that holds NaN."""
    if kernels == "triton":
        from .nearest_code_triton import nearest_code_triton

        return nearest_code_triton(z_NC.contiguous(), table_VC.contiguous())
    return nearest_code_torch(z_NC, table_VC)


def nearest_code_torch(z_NC: Tensor, table_VC: Tensor) -> Tensor:
    """The torch twin of `nearest_code`."""
    dtype = sum_dtype(z_NC)
    pieces = [_search(z_rC.to(dtype), table_VC.to(dtype)) for z_rC in z_NC.split(ROWS)]
    return torch.cat(pieces)


def sum_dtype(z_NC: Tensor) -> torch.dtype:
    """What distances are summed in."""
    return torch.float64 if z_NC.dtype == torch.float64 else torch.float32


def _search(z_rC: Tensor, table_VC: Tensor) -> Tensor:
    best_r = z_rC.new_full(z_rC.shape[:1], torch.inf)
    index_r = torch.zeros_like(best_r, dtype=torch.int64)
    for number, table_cC in enumerate(table_VC.split(CODES)):
        half_norm_c = 0.5 * table_cC.square().sum(dim=1)
        least_r, code_r = torch.addmm(half_norm_c, z_rC, table_cC.t(), alpha=-1).min(dim=1)
        closer_r = least_r < best_r
        best_r = torch.where(closer_r, least_r, best_r)
        index_r = torch.where(closer_r, code_r + number * CODES, index_r)
    return index_r
