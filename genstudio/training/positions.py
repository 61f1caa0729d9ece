"""Which examples a step sees: a pure function of the step, so that a resumed run needs no data state.

Every epoch is a permutation keyed by the run's seed and the epoch; batches run on across epochs, so no
example is left out. With weights an epoch has as many places, and an example fills as many of them as its
share says (systematic resampling: the whole part always, the rest by one keyed offset per epoch).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.processes import Processes
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.training.recipe import SEED_LIMIT


class Places(NamedTuple):
    """Examples, their epochs and their places in those, int64 [n] each; (epoch, place) never occurs twice."""

    example_n: Tensor
    epoch_n: Tensor
    place_n: Tensor


class Positions:
    """Examples in order of training, counted from 0 over all epochs; `weight_N` says how often, if given."""

    def __init__(self, draws: KeyedDraws, seed: int, examples: int, weight_N: Tensor | None = None) -> None:
        self._draws, self._seed, self._examples = draws, seed, examples
        self._epoch, self._order_N = -1, torch.empty(0, dtype=torch.int64)
        self._share_N = None if weight_N is None else _shares(weight_N)

    def take(self, first: int, count: int) -> Places:
        """The `count` places from `first` on."""
        found: list[Places] = []
        while count > 0:
            epoch, start = divmod(first, self._examples)
            place_n = self._order(epoch)[start : start + count]
            found.append(Places(self._at(epoch, place_n), torch.full_like(place_n, epoch), place_n))
            first, count = first + len(place_n), count - len(place_n)
        return Places(*map(torch.cat, zip(*found, strict=True)))

    def _order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._order_N = (
                epoch,
                self._draws.order(Use.BATCH, self._key(epoch), self._examples)[0],
            )
        return self._order_N

    def _at(self, epoch: int, place_n: Tensor) -> Tensor:
        """The examples of an epoch's places."""
        if self._share_N is None:
            return place_n
        offset_1 = self._draws.uniform(Use.BATCH, At(self._key(epoch), torch.zeros(1, 1, dtype=torch.int64)))
        return torch.searchsorted(self._share_N, place_n + offset_1.double(), right=True)

    def _key(self, epoch: int) -> Tensor:
        return torch.tensor([self._seed + SEED_LIMIT * epoch])


def balanced(label_N: Tensor, balance: float) -> Tensor | None:
    """Weights float64 [N] by which a class of c pictures is seen in proportion to c^(1 - balance); None where
    every picture is seen alike."""
    return label_N.bincount().double()[label_N] ** -balance if balance else None


def parts(batch: int, passes: int, processes: Processes) -> list[slice]:
    """This process's places among the `batch` of a step, one slice for every pass.

    Every pass is cut into equal parts, so that what is read in a pass is the same for any number of
    processes. (`prepare` refuses steps that cannot be cut so.)
    """
    each = batch // (passes * processes.count)
    firsts = (each * (number * processes.count + processes.rank) for number in range(passes))
    return [slice(first, first + each) for first in firsts]


def _shares(weight_N: Tensor) -> Tensor:
    """Places of an epoch that the examples up to each one fill, float64 [N]; all of them at the end."""
    share_N = weight_N.double().cumsum(0) * (len(weight_N) / weight_N.double().sum())
    share_N[-1] = torch.inf
    return share_N
