"""The work that a batch of pictures needs, counted on the real walk in shapes alone.

Necessary is what the plain walk computes: matrix products, convolutions and attention, each once per step,
guidance included. Of the denoising steps of a head two are walked, and the others counted like the second.
Checked against the known numbers of VAR-d16 at 256 px: 0.60 TFLOP a picture for the transformer, guided, and
0.39 for the decoder.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from genstudio.events import Advance
from genstudio.measure.sketch import Sketch
from genstudio.releases.release import Release
from genstudio.runtime import Dtype
from genstudio.samplers.chains import chain_of
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import Fixed

Counts = npt.NDArray[np.int64]

_ATEN: Final = torch.ops.aten
# Where the arguments of an op stand that are read from memory whatever the batch: weights, keys and values.
_STORED: Final[dict[Any, slice]] = {
    _ATEN.linear.default: slice(1, 2),
    _ATEN.conv2d.default: slice(1, 2),
    _ATEN.scaled_dot_product_attention.default: slice(1, 3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Of one batch: floating-point operations (a multiply-add is two) of transformer and decoder, and the
    `read` bytes: weights of both, keys and values, at every use once."""

    transformer: int
    decoder: int
    read: int


def work(release: Release, batch: int, dtype: Dtype, recipe: Recipe | None = None) -> Work:
    """What sampling `batch` pictures together needs, by the release's recipe or another.

    Raises GenstudioError for a release that makes no pictures.
    """
    recipe = recipe or release.recipe
    added_2 = np.zeros(2, np.int64)
    if recipe.head is None:
        after_K2, total_2 = _counted(release, batch, dtype, recipe)
    else:
        after_K2, total_2 = _counted(release, batch, dtype, _in_steps(recipe, 1))
        twice_K2, _ = _counted(release, batch, dtype, _in_steps(recipe, 2))
        step_K2 = np.diff(twice_K2 - after_K2, axis=0, prepend=0)
        added_2 = (step_K2 * _further_steps(recipe, len(step_K2))[:, None]).sum(0)
    flops, read = map(int, total_2 + added_2)
    decoder = int(total_2[0] - after_K2[-1, 0])
    return Work(transformer=flops - decoder, decoder=decoder, read=read)


def _counted(release: Release, batch: int, dtype: Dtype, recipe: Recipe) -> tuple[Counts, Counts]:
    """Operations and bytes read, after every one of K units of the walk [K,2], and after the decoder [2]."""
    after: list[tuple[int, int]] = []
    with FlopCounterMode(display=False) as counter, _Read() as read:
        events = Sketch.of(release, dtype).run(recipe, batch)
        advances = (event for event in events if isinstance(event, Advance))
        after.extend((counter.get_total_flops(), read.bytes) for _ in advances)
        total = (counter.get_total_flops(), read.bytes)
    return np.array(after, np.int64), np.array(total, np.int64)


def _in_steps(recipe: Recipe, steps: int) -> Recipe:
    """The same with so many denoising steps a code."""
    assert recipe.head is not None
    return replace(recipe, head=replace(recipe.head, steps=Fixed(steps)))


def _further_steps(recipe: Recipe, units: int) -> Counts:
    """Denoising steps of every unit beside the first one, [K]: all of a unit take the same."""
    head = recipe.head
    assert head is not None
    counts = (head.steps.count(unit, units) for unit in range(units))
    return np.array([chain_of(head.chain, count).steps - 1 for count in counts], np.int64)


class _Read(TorchDispatchMode):
    """Adds up the stored tensors that ops read."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        stored: tuple[Tensor, ...] = args[_STORED[func]] if func in _STORED else ()
        self.bytes += sum(tensor.nbytes for tensor in stored)
        return func(*args, **(kwargs or {}))
