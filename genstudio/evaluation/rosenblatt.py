"""Do sampled codes follow the law that a network gives them? Rosenblatt's transform (1952), then chi-square.

Every code is placed among all codes by how likely the network finds them behind the codes before it: the mass
of the likelier ones plus a random share of its own. If the sampler is right these numbers are independent and
uniform, whatever the network, so one test looks at all places of all pictures at once; a sampler that takes
codes a little too likely, or not likely enough, bends them.
Shapes: B pictures, L codes of a picture, V codes, N numbers in all.
"""

from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor

from genstudio.samplers.draws import At, Draws, Use

BINS = 50


class Fit(NamedTuple):
    """Pearson's statistic over equal bins, its p-value where the law is right, how many `numbers` there were,
    and how many codes the law excludes altogether."""

    statistic: float
    p_value: float
    numbers: int
    excluded: int

    def holds(self, error_rate: float) -> bool:
        """Whether the law is not rejected; a right sampler's is with probability `error_rate`."""
        return self.excluded == 0 and self.p_value > error_rate


def fit(p_BLV: Tensor, ids_BL: Tensor, draws: Draws, seed_B: Tensor, bins: int = BINS) -> Fit:
    """How codes sampled by the pictures' seeds fit the laws of their places, given the codes before."""
    own_BL = p_BLV.gather(-1, ids_BL[..., None])[..., 0]
    seen = (uniforms(p_BLV, ids_BL, draws, seed_B) * bins).long().clamp(max=bins - 1)
    count = seen.numel()
    counts = seen.flatten().bincount(minlength=bins).double()
    statistic = float((counts - count / bins).square().sum() * bins / count)
    return Fit(statistic, float(stats.chi2.sf(statistic, bins - 1)), count, int((own_BL == 0).sum()))


def uniforms(p_BLV: Tensor, ids_BL: Tensor, draws: Draws, seed_B: Tensor) -> Tensor:
    """Rosenblatt's numbers in [0, 1], [B,L]; equally likely codes stand in the order of their ids.

    The random shares are those of Use.CHECK at every code, so that they are not what the sampler drew.
    """
    p_BLV = p_BLV.double()
    own_BL1 = p_BLV.gather(-1, ids_BL[..., None])
    id_V = torch.arange(p_BLV.shape[-1], device=ids_BL.device)
    before_BLV = (p_BLV > own_BL1) | ((p_BLV == own_BL1) & (id_V < ids_BL[..., None]))
    above_BL = (p_BLV * before_BLV).sum(-1)
    place_L1 = torch.arange(ids_BL.shape[1], device=ids_BL.device)[:, None]
    share_BL = draws.uniform(Use.CHECK, At.grid(seed_B, place_L1)).view(ids_BL.shape)
    return above_BL + share_BL * own_BL1[..., 0]
