"""Rotary positions (arXiv 2104.09864): a table of rotations by slot, and the rotation of queries and keys.

Angles are computed in float64 and rounded once to float32, in which everything is rotated, as officially.
A rotation is a complex number, so that one product turns all pairs. A slot whose row is zero gets the zero
vector for query and key (LlamaGen's condition), which is no rotation at all.
Shapes: S slots, A axes, P pairs of a head (half its width D), R rows, n fed slots, H heads.
"""

import torch
from torch import Tensor, nn


class Rope(nn.Module):
    """Rotations of `angles_SP`, found by slot number; `zeros` slots in front have the zero vector."""

    def __init__(self, angles_SP: Tensor, zeros: int = 0) -> None:
        super().__init__()
        turns_SP2 = torch.stack([angles_SP.cos(), angles_SP.sin()], dim=-1).float()
        table_SP2 = torch.cat([turns_SP2.new_zeros(zeros, *turns_SP2.shape[1:]), turns_SP2])
        # Kept as bits: casting the network to bfloat16 must not round the table.
        self.register_buffer("bits_SP2", table_SP2.view(torch.int32), persistent=False)

    bits_SP2: Tensor

    def forward(self, at_Rn: Tensor) -> Tensor:
        """Rotations complex64 [R,n,P] of the slots fed."""
        return torch.view_as_complex(self.bits_SP2[at_Rn].view(torch.float32))


def axial_angles(places_SA: Tensor, head_dim: int, base: float) -> Tensor:
    """Angles [S,P] in float64: the pairs of a head are shared out to the axes in order.

    An axis turns d = D / A values of a head, its k-th pair by place * base^(-2k / d). Places may be
    fractions. Raises ValueError where the axes do not get whole pairs.
    """
    axes = places_SA.shape[1]
    if head_dim % (2 * axes):
        raise ValueError(f"A head of {head_dim} does not split into pairs for {axes} axes.")
    exponents = torch.arange(0, head_dim // axes, 2, dtype=torch.float64, device=places_SA.device)
    rates_p = base ** (-exponents * axes / head_dim)
    return (places_SA.double()[..., None] * rates_p).flatten(1)


def raster(height: int, width: int) -> Tensor:
    """Row and column [S,2] of every cell of a grid, row by row."""
    return torch.cartesian_prod(torch.arange(height, device="cpu"), torch.arange(width, device="cpu"))


def rotate(x_RHnD: Tensor, turns_RnP: Tensor) -> Tensor:
    """Turn the interleaved pairs (2k, 2k+1) of every head; further axes may stand in front."""
    wide = x_RHnD.to(torch.promote_types(x_RHnD.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns_RnP[:, None]).flatten(-2).to(x_RHnD.dtype)
