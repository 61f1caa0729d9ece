"""An interval and a bias for a distance between moments, by leaving out one block of rows at a time.

The delete-a-block jackknife (Efron and Stein, 1981). A bootstrap would repeat rows, which makes a Frechet
distance larger; leaving rows out does not. The other side of the distance counts as given.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import cos, pi, sin, sqrt
from typing import NamedTuple

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
    half = student_quantile((1 + LEVEL) / 2, count - 1) * error
    return Interval(value, max(0.0, value - half), value + half, (count - 1) * (mean - value), error)


def student_quantile(share: float, freedom: int) -> float:
    """The value that Student's t of so many degrees of freedom does not exceed with probability `share`.

    Bisection of the closed form for whole degrees (Abramowitz and Stegun, 26.7.3 and 26.7.4), in the angle
    whose tangent is t / sqrt(degrees). `share` lies in [0.5, 1).
    """
    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _student_within(middle, freedom) > 2 * share - 1 else (middle, high)
    return sqrt(freedom) * (sin(low) / cos(low))


def _student_within(angle: float, freedom: int) -> float:
    """The probability that |t| stays below sqrt(freedom) tan(angle)."""
    odd = freedom % 2
    term, total = (cos(angle), 0.0) if odd else (1.0, 0.0)
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cos(angle) ** 2 * step / (step + 1)
    total *= sin(angle)
    return 2 / pi * (angle + total) if odd else total
