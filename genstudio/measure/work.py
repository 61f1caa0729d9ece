"""The work that a batch of pictures needs, counted on the real walk in shapes alone.

Necessary is what the plain walk computes: matrix products, convolutions and attention, each once per step,
guidance included. Checked against the known numbers of VAR-d16 at 256 px: 0.60 TFLOP a picture for the
transformer with guidance, 0.39 for the decoder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from genstudio.events import Advance
from genstudio.measure.sketch import Sketch
from genstudio.releases.release import Release
from genstudio.runtime import Dtype
from genstudio.samplers.recipe import Recipe

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
    sketch = Sketch.of(release, dtype)
    transformer = 0
    with FlopCounterMode(display=False) as counter, _Read() as read:
        for event in sketch.run(recipe or release.recipe, batch):
            if isinstance(event, Advance):
                transformer = counter.get_total_flops()
    decoder = counter.get_total_flops() - transformer
    return Work(transformer=transformer, decoder=decoder, read=read.bytes)


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
