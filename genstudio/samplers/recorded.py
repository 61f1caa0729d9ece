"""RecordedDraws: the randomness of an official run, replayed through the same argument as live draws.

Official code draws from one generator per batch, so a recording is mostly a queue of rows in call order;
noise drawn as one block per picture is a table. Pictures of a replay are numbered: seed = row of the table.
Shapes: R rows, B pictures, K place numbers, V categories.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.samplers.draws import At, Use


class Queue:
    """Values in the order in which the official run consumed them; several uses may share one queue.

    `hold`: reading does not move it, only `spend` does (the outcome decides how many values are used, and a
    look ahead past the end reads NaN). `race`: the values are Exp(1) noise of a categorical race.
    """

    def __init__(self, values: Tensor, *, hold: bool = False, race: bool = False) -> None:
        self.values = values.flatten()
        self.hold = hold
        self.race = race
        self.read_so_far = 0

    @property
    def left(self) -> int:
        """Values that were not consumed yet."""
        return len(self.values) - self.read_so_far

    def read(self, at: At, shape: tuple[int, ...]) -> Tensor:
        """The next R * prod(shape) values as [R, *shape]."""
        rows = len(at.seed_R)
        count = rows * math.prod(shape)
        start = self.read_so_far
        values = self.values[start : start + count]
        if self.hold:
            values = torch.cat([values, values.new_full((count - len(values),), torch.nan)])
        else:
            self.spend(count)
        return values.view(rows, *shape)

    def spend(self, count: int) -> None:
        """Move on by `count` values."""
        if count > self.left:
            raise GenstudioError(
                f"The recorded draws are used up: {count} values are asked for, {self.left} are left.",
                "The replay draws more often than the recorded run did.",
                Exit.CHECK,
            )
        self.read_so_far += count


class Table:
    """Values by picture and place: `values[picture, *place numbers]` has the shape that is asked for."""

    def __init__(self, values: Tensor, *, race: bool = False) -> None:
        self.values = values
        self.race = race

    def read(self, at: At, shape: tuple[int, ...]) -> Tensor:
        """The entries of every row's picture and place, [R, *shape]."""
        place = (at.seed_R, *at.index_RK.unbind(-1))
        values = self.values[tuple(numbers.to(self.values.device) for numbers in place)]
        if values.shape[1:] != shape:
            raise ValueError(f"The table holds {tuple(values.shape[1:])} per place, {shape} is asked for.")
        return values


class RecordedDraws:
    """Draws from recordings, in the recorded dtype; `finish` tells whether all of them were consumed."""

    def __init__(self, sources: Mapping[Use, Queue | Table]) -> None:
        self.sources = dict(sources)

    def uniform(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return self._read(use, at, shape)

    def normal(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return self._read(use, at, shape)

    def exponential(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return self._read(use, at, shape)

    def below(self, use: Use, at: At, high: int) -> Tensor:
        """Recorded integers; ValueError where one is outside of [0, high)."""
        values_R = self._read(use, at, ())
        if bool(((values_R < 0) | (values_R >= high)).any()):
            raise ValueError(f"A recorded integer lies outside of 0..{high - 1}.")
        return values_R.long()

    def order(self, use: Use, seed_B: Tensor, n: int) -> Tensor:
        return self._read(use, At(seed_B, seed_B.new_empty(len(seed_B), 0)), (n,)).long()

    def pick(self, use: Use, at: At, p_RV: Tensor) -> Tensor:
        """The race where its noise was recorded, else the inverse distribution function of a uniform."""
        if self._source(use).race:
            return (p_RV / self._read(use, at, p_RV.shape[-1:])).argmax(-1)
        return inverse_cdf(p_RV, self._read(use, at, ()))

    def spend(self, use: Use, count: int | Tensor) -> None:
        """Consume `count` values of a held queue; other sources have moved already."""
        source = self._source(use)
        if isinstance(source, Queue) and source.hold:
            source.spend(int(count))

    def finish(self) -> None:
        """Raise GenstudioError where recorded values were never asked for."""
        for use, source in self.sources.items():
            if isinstance(source, Queue) and source.left:
                raise GenstudioError(
                    f"{source.left} recorded draws for {use.name} were never used.",
                    "The replay draws less often than the recorded run did.",
                    Exit.CHECK,
                )

    def _read(self, use: Use, at: At, shape: tuple[int, ...]) -> Tensor:
        return self._source(use).read(at, shape).to(at.seed_R.device)

    def _source(self, use: Use) -> Queue | Table:
        if use not in self.sources:
            raise GenstudioError(
                f"The recording holds no draws for {use.name}.",
                "Give the recorded tensor for this use, or replay the run that was recorded.",
                Exit.CHECK,
            )
        return self.sources[use]


def inverse_cdf(p_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """The smallest category whose cumulative share (float64) exceeds the uniform."""
    total_RV = p_RV.double().cumsum(-1)
    share_RV = total_RV / total_RV[:, -1:]
    return torch.searchsorted(share_RV, uniform_R.double()[:, None], right=True)[:, 0]
