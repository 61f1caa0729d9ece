"""Which examples a step sees: a pure function of the step, so that a resumed run needs no data state.

Every epoch is a permutation keyed by the run's seed and the epoch; batches run on across epochs, so no
example is left out.
"""

import torch
from torch import Tensor

from genstudio.processes import Processes
from genstudio.samplers.draws import KeyedDraws, Use
from genstudio.training.recipe import SEED_LIMIT


class Positions:
    """Examples in order of training, counted from 0 over all epochs."""

    def __init__(self, draws: KeyedDraws, seed: int, examples: int) -> None:
        self._draws, self._seed, self._examples = draws, seed, examples
        self._epoch, self._order_N = -1, torch.empty(0, dtype=torch.int64)

    def take(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Example numbers and epochs of `count` places from `first` on, int64 [count] each."""
        examples: list[Tensor] = []
        epochs: list[Tensor] = []
        while count > 0:
            epoch, start = divmod(first, self._examples)
            part_n = self._order(epoch)[start : start + count]
            examples.append(part_n)
            epochs.append(torch.full_like(part_n, epoch))
            first, count = first + len(part_n), count - len(part_n)
        return torch.cat(examples), torch.cat(epochs)

    def _order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            key_1 = torch.tensor([self._seed + SEED_LIMIT * epoch])
            self._epoch, self._order_N = epoch, self._draws.order(Use.BATCH, key_1, self._examples)[0]
        return self._order_N


def parts(batch: int, passes: int, processes: Processes) -> list[slice]:
    """This process's places among the `batch` of a step, one slice for every pass.

    Every pass is cut into equal parts, so that what is read in a pass is the same for any number of
    processes. (`prepare` refuses steps that cannot be cut so.)
    """
    each = batch // (passes * processes.count)
    firsts = (each * (number * processes.count + processes.rank) for number in range(passes))
    return [slice(first, first + each) for first in firsts]
