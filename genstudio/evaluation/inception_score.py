"""Inception score (arXiv 1606.03498): exp of the mean KL divergence of p(y|x) from its mean, over splits.

It streams: a split needs the sum of its p and of its p log p alone, in float64. torch-fidelity splits a
shuffled sample into equal parts; the ADM evaluator cuts it in the order given into chunks of 5,000, so that a
sample in the order of its classes scores less. Shapes: N rows in all, B of a batch, K classes, C splits.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genstudio.errors import GenstudioError

SEED = 2020  # torch-fidelity's


class Score(NamedTuple):
    """Mean and population standard deviation over the splits."""

    mean: float
    deviation: float


class InceptionScore:
    """The score of `total` rows, which come in batches of neighbours, the batches in any order.

    Splits are `splits` parts of nearly equal length, of the rows shuffled by numpy's legacy generator if
    `shuffle`; with `chunk`, parts of that many rows, the last one shorter (the ADM evaluator). Raises
    GenstudioError for fewer rows than splits.
    """

    def __init__(
        self,
        total: int,
        splits: int = 10,
        *,
        chunk: int | None = None,
        shuffle: bool = True,
        seed: int = SEED,
    ) -> None:
        place_N = torch.arange(total)
        starts = range(0, total, chunk) if chunk else [split * total // splits for split in range(splits)]
        if len(starts) > total or total == 0:
            raise GenstudioError(
                f"{total} pictures cannot be split into {len(starts)} parts for an inception score.",
                "Score more pictures, or leave the inception score out.",
            )
        split_N = torch.searchsorted(torch.tensor(starts), place_N, right=True) - 1
        self._split_N = split_N
        if shuffle:  # the row at a place of the shuffled sample is order_N[place]
            order_N = torch.from_numpy(np.random.RandomState(seed).permutation(total))
            self._split_N = torch.empty_like(split_N).index_copy_(0, order_N, split_N)
        self._count_C = torch.zeros(len(starts), dtype=torch.int64)
        self._negentropy_C = torch.zeros(len(starts), dtype=torch.float64)
        self._share_CK = torch.zeros(len(starts), 0, dtype=torch.float64)

    def add(self, first: int, logits_BK: Tensor) -> None:
        """See rows `first`, `first` + 1, ... once."""
        split_B = self._split_N[first : first + len(logits_BK)]
        log_p_BK = logits_BK.detach().to("cpu", torch.float64).log_softmax(1)
        if self._share_CK.shape[1] == 0:
            self._share_CK = self._share_CK.new_zeros(len(self._share_CK), log_p_BK.shape[1])
        self._count_C.index_add_(0, split_B, torch.ones_like(split_B))
        self._share_CK.index_add_(0, split_B, log_p_BK.exp())
        self._negentropy_C.index_add_(0, split_B, (log_p_BK.exp() * log_p_BK).sum(1))

    def result(self) -> Score:
        """The score of all rows. Raises ValueError when some were not seen, or twice."""
        if not torch.equal(self._count_C, torch.bincount(self._split_N)):
            raise ValueError(f"{int(self._count_C.sum())} of {len(self._split_N)} rows were seen")
        share_CK = self._share_CK / self._count_C[:, None]
        divergence_C = self._negentropy_C / self._count_C - torch.xlogy(share_CK, share_CK).sum(1)
        score_C = divergence_C.exp()
        return Score(float(score_C.mean()), float(score_C.std(correction=0)))
