"""One solver for every diffusion and flow head: it runs the affine rows of a `Chain`.

It knows no network, no guidance and no method: a field maps (state, row) to a prediction, noise is asked for
row by row, and the state keeps the dtype it comes in (officially float64 for flows, float32 for diffusions).
Tensors have any shape; all of a call are alike.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.samplers.chains import Chain
from genstudio.samplers.values import Trace

Field = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]
RowNoise = Callable[[int], Tensor]
Pin = Callable[[Tensor, int], Tensor]


class Solved(NamedTuple):
    """The sample, and what a density ratio of samples needs: the standard deviation that the last row has but
    does not use (0 without noise), and the sum of the logs of those before it, temperature apart."""

    x: Tensor
    std: Tensor
    logstd_sum: Tensor


def solve(
    field: Field,
    chain: Chain,
    x: Tensor,
    noise: RowNoise | None = None,
    temperature: float = 1.0,
    pin: Pin | None = None,
    trace: Trace | None = None,
) -> Solved:
    """Run every row of the chain on the start noise x; the field is called once per row.

    `field(x, row)` gives the prediction y and the share f of the variance (None where it is not learned).
    `noise(row)` is asked for rows that use it alone, never for the last. `pin(x, row)` may overwrite known
    places before a row. A trace receives "field" (y) and "state" (x after the row). Raises ValueError where
    noise is needed and none given.
    """
    before, logstd, logstd_sum = x, -math.inf, 0.0
    for row, (a, b, c, low, high) in enumerate(zip(*(column.tolist() for column in chain[1:]), strict=True)):
        x = x if pin is None else pin(x, row)
        y, share = field(x, row)
        y = y.to(x.dtype)
        x = a * x + b * y + c * before if c else a * x + b * y
        before = y
        logstd = low if share is None or low == high else low + share * (high - low)
        if high > -math.inf and row < chain.steps - 1:
            if noise is None:
                raise ValueError("This chain adds noise: solve needs a source of it.")
            x = x + _exp(logstd) * temperature * noise(row).to(x.dtype)
            logstd_sum = logstd_sum + logstd
        if trace is not None:
            trace("field", y)
            trace("state", x)
    return Solved(x, _like(_exp(logstd) * temperature, x), _like(logstd_sum, x))


def _exp(value: float | Tensor) -> float | Tensor:
    return value.exp() if isinstance(value, Tensor) else math.exp(value)


def _like(value: float | Tensor, x: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=x.dtype, device=x.device).expand_as(x)
