"""LANTERN's relaxed probability (arXiv 2410.03355, 2502.06352): an id with the mass of its nearest codes.

p_1, p_2, ... are the probabilities of the codes nearest to x, nearest first, and cum_j their running sum. The
longest beginning with cum_j <= bound is included: bound = delta up to 1 (LANTERN), above it (delta - 1) p(x)
(LANTERN++'s lambda). Sums and comparisons are float64: the twins include the same codes, but where cum_j is
the bound to the last bits.
Shapes: R laws, V codes, N ids to be judged, k nearest codes of each.
"""

import torch
from torch import Tensor

from .select import Kernels


def relaxed_mass(
    p_RV: Tensor, row_N: Tensor, id_N: Tensor, nearest_Vk: Tensor, delta: float, kernels: Kernels
) -> tuple[Tensor, Tensor]:
    """p(x) + cum_j [N] for id x of law `row`, in the dtype of p, and j [N] int64, which may be 0.

    Rows of `nearest_Vk` (integers) may be the beginning of longer ones.
    """
    if kernels == "triton":
        from .relaxed_mass_triton import relaxed_mass_triton

        return relaxed_mass_triton(p_RV.contiguous(), row_N, id_N, nearest_Vk, delta)
    return relaxed_mass_torch(p_RV, row_N, id_N, nearest_Vk, delta)


def relaxed_mass_torch(
    p_RV: Tensor, row_N: Tensor, id_N: Tensor, nearest_Vk: Tensor, delta: float
) -> tuple[Tensor, Tensor]:
    """The torch twin of `relaxed_mass`."""
    own_N = p_RV[row_N, id_N].double()
    near_Nk = p_RV[row_N[:, None], nearest_Vk[id_N].long()].double()
    bound_N = (delta - 1) * own_N if delta > 1 else torch.full_like(own_N, delta)
    included_Nk = near_Nk.cumsum(1) <= bound_N[:, None]
    mass_N = own_N + near_Nk.where(included_Nk, 0).sum(1)
    return mass_N.to(p_RV.dtype), included_Nk.sum(1)
