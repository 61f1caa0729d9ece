"""A two-sample test by energy distance (Székely and Rizzo, 2013) with permutations, for continuous tokens.

Where both samples have one law, P permutations give p <= 1 / (P + 1) with that probability at most, whatever
the law is: 999 of them make an error rate of 0.001. N and M samples of D numbers.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Tested(NamedTuple):
    """The energy distance, in units in which every number has unit variance, and its p-value."""

    distance: float
    p: float


def energy_test(x_ND: Tensor, y_MD: Tensor, permutations: int = 999) -> Tested:
    """Whether two samples come from one law: 2 E|x - y| - E|x - x'| - E|y - y'|, beside that of labels that
    are dealt out anew."""
    both_SD = torch.cat([x_ND, y_MD]).double()
    far_SS = torch.cdist(both_SD / both_SD.std(0), both_SD / both_SD.std(0))
    sign_S = torch.cat([torch.full((len(one),), sign / len(one)) for one, sign in ((x_ND, 1), (y_MD, -1))])
    random = torch.Generator().manual_seed(0)
    dealt = [sign_S[torch.randperm(len(sign_S), generator=random)] for _ in range(permutations)]
    sign_SP = torch.stack([sign_S, *dealt], dim=1).double()
    distance_P = -(sign_SP * (far_SS @ sign_SP)).sum(0)
    beyond = int((distance_P[1:] >= distance_P[0]).sum())
    return Tested(float(distance_P[0]), (1 + beyond) / (1 + permutations))
