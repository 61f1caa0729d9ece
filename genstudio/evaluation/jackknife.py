"""An interval and a bias for a distance between moments, by leaving out one block of rows at a time.

The delete-a-block jackknife (Efron and Stein, 1981). A bootstrap would repeat rows, which makes a Frechet
distance larger; leaving rows out does not. The other side of the distance counts as given.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import sqrt
from typing import NamedTuple

from scipy.special import stdtrit

from genstudio.evaluation.frechet import Gaussian, Moments

LEVEL = 0.95


class Interval(NamedTuple):
    """A distance with its 95 % interval, for its mean over samples of this size.

    `bias` estimates how far that mean lies above the distance of endlessly many rows: value - bias estimates
    the latter. `error` is the standard error.
    """

    value: float
    low: float
    high: float
    bias: float
    error: float


def jackknife(blocks: Sequence[Moments], distance: Callable[[Gaussian], float]) -> Interval:
    """The distance of all blocks together, with what follows from leaving out each of them in turn.

    Blocks should be of nearly one size; distances are never below 0, so neither is `low`. Raises ValueError
    for fewer than two blocks that hold rows.
    """
    parts = [block for block in blocks if block.count]
    if len(parts) < 2:
        raise ValueError(f"a jackknife needs two blocks, not {len(parts)}")
    whole, count = reduce(Moments.merge, parts), len(parts)
    value = distance(whole.gaussian)
    others = [distance(whole.without(part).gaussian) for part in parts]
    mean = sum(others) / count
    error = sqrt((count - 1) / count * sum((other - mean) ** 2 for other in others))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    return Interval(value, max(0.0, value - half), value + half, (count - 1) * (mean - value), error)
