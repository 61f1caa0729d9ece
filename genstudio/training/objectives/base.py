"""What every training objective offers the loop: losses of a batch, and what follows from them.

An objective owns the networks it trains, the pictures (or codes) it learns from and its own counters; the
loop owns steps, optimizer, averaging and files. Every random choice comes from the batch's draws, keyed by
the run's seed, the epoch and the place in it: nothing depends on batch size or on the global generator.
Shapes: B examples of a batch, S of a whole step, K places, V codes.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from genstudio.processes import Processes
from genstudio.samplers.draws import At, KeyedDraws, Use


class Batch(NamedTuple):
    """Examples `index_B` (CPU) of one pass; `at` holds the run's seed and (epoch, place), on the device.

    `progress` is the share of the run that lies behind this step. All passes of all `processes` together read
    the examples `whole_S` in this step: what no mean over equal parts gives has to look at those.
    """

    step: int
    progress: float
    index_B: Tensor
    at: At
    draws: KeyedDraws
    whole_S: Tensor
    processes: Processes = Processes()

    def coin(self, use: Use, share: float) -> Tensor:
        """True with probability `share`, one per example, bool [B]."""
        return self.draws.uniform(use, self.at) < share

    def below(self, use: Use, place: int, high: int) -> Tensor:
        """Integers in [0, high), one per example; `place` tells several apart."""
        place_B1 = torch.full_like(self.at.index_RK[:, :1], place)
        return self.draws.below(use, At(self.at.seed_R, torch.cat([self.at.index_RK, place_B1], 1)), high)


class Losses(NamedTuple):
    """`total` is minimised; `parts` are averaged and `counts` summed between two lines of the metrics.

    Means over passes and processes have to be the values of the whole step.
    """

    total: Tensor
    parts: dict[str, Tensor]
    counts: dict[str, Tensor]


class Rewrite(NamedTuple):
    """Rows of a parameter of the network that are replaced by hand: optimizer and average must follow."""

    name: str
    row_N: Tensor
    value_ND: Tensor


class Objective(Protocol):
    """One way to train a network. `network` is what the run releases; `helpers` are trained along with it.

    `examples` are counted per epoch; `reads` holds fingerprints of everything outside of the recipe that
    decides the numbers; `undecayed` are parts of names of weights that are spared weight decay; `meets` says
    that processes wait for each other inside of `losses`.
    """

    network: nn.Module
    helpers: Mapping[str, nn.Module]
    examples: int
    reads: Mapping[str, str]
    undecayed: tuple[str, ...]

    @property
    def meets(self) -> bool:
        return False

    def begin_step(self) -> None:
        """Called before the passes of every step, and again where these are made anew."""
        return

    def losses(self, batch: Batch) -> Losses:
        """The losses of one pass, in float32 whatever autocast does inside of the networks."""
        ...

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Numbers of the finished network on held-out examples."""
        ...

    def after_step(self, batch: Batch, counts: Mapping[str, Tensor]) -> tuple[Rewrite, ...]:
        """Called after the optimizer's step with its last pass and the counts of all its passes, everywhere;
        returns weights to replace."""
        del batch, counts
        return ()

    def derive(self, counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the metrics say about summed counts, e.g. the perplexity of codes."""
        del counts
        return {}

    def state(self) -> dict[str, Tensor]:
        """Counters that a resumed run needs, apart from the networks."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        del state

    def picture(self, network: nn.Module) -> Tensor | None:
        """A look at the network's progress, x [n,C,H,W] in [-1, 1], or None where it has none to show."""
        del network
        return None


def to_unit(pixels_BCHW: Tensor, device: torch.device) -> Tensor:
    """uint8 pixels to float32 in [-1, 1] on the device."""
    return pixels_BCHW.to(device, non_blocking=True).float().div_(127.5).sub_(1)


def mirrored(x_BCHW: Tensor, flip_B: Tensor) -> Tensor:
    """The pictures that `flip_B` names, mirrored left to right."""
    return torch.where(flip_B[:, None, None, None], x_BCHW.flip(-1), x_BCHW)
