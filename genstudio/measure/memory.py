"""How much memory a run takes: estimated before anything is loaded, and measured while it runs.

Weights and cache are exact sums. Activations come from the real walk in shapes alone (`Sketch`): the most
bytes that are alive at one time, and an allowance for what shapes do not tell.

Calibration (torch 2.14, 1 and 2 threads of a Xeon with AVX-512, glibc; var-fashion at batch 1 to 700, VAR-d16
with random weights at batch 1 and 8, float32 and bfloat16): oneDNN convolutions hold blocked copies of input
and output, which are counted; with them the real peak of d16 is 0.94 to 1.27 times the live bytes. malloc
keeps up to 230 MB of freed blocks below its threshold of 32 MB, and first calls set up 25 MB. The allowance
covers both, and what a long-lived process adds: 183 MB were seen once where 176 were allowed before. On a GPU
nothing has been measured, and the same allowance stands.
"""

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, cast

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genstudio import registry
from genstudio.cache.spec import BYTES
from genstudio.events import Advance
from genstudio.measure.sketch import Sketch
from genstudio.releases import catalogue
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import GeneratorConfig, Release
from genstudio.runtime import Dtype, Runtime
from genstudio.samplers.accelerators import Accelerator
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import Fixed
from genstudio.samplers.values import Order

MARGIN: Final = 1.2
LAWS: Final = 10  # numbers per draft and code that live at once: logits, what filters make of them, p and q
HEAP: Final = 256_000_000  # the most freed bytes that malloc may keep, at most three times what lives
SETUP: Final = 64_000_000
POLL_SECONDS: Final = 0.002

_CONVOLUTIONS: Final = (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes of a run, beside the program itself (some 300 MB with its libraries)."""

    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.activations


def estimate(
    release: Release,
    batch: int,
    dtype: Dtype,
    recipe: Recipe | None = None,
    accelerators: Sequence[Accelerator] = (),
) -> Estimate:
    """What sampling `batch` pictures together takes; an upper bound, see the module for how close.

    Without `recipe` the release's own. Raises GenstudioError for a release that makes no pictures.
    """
    known = held(release, batch, dtype, recipe, accelerators)
    shallow = replace(release, config=replace(release.generator, depth=1))
    walked, decoded = _live_bytes(release, batch, dtype, recipe or release.recipe)
    slack = sum(one.slack for one in accelerators)
    walked += LAWS * batch * slack * getattr(release.config, "vocab", 0) * BYTES["float32"]
    live = max(walked - held(shallow, batch, dtype, recipe).cache, decoded - known.cache)
    return replace(known, activations=round(MARGIN * live) + min(3 * live, HEAP) + SETUP)


def held(
    release: Release,
    batch: int,
    dtype: Dtype,
    recipe: Recipe | None = None,
    accelerators: Sequence[Accelerator] = (),
) -> Estimate:
    """Weights and cache alone, exactly and at once, those of accelerators included: activations are 0."""
    config = release.generator
    generator, tokenizer = registry.build(config), registry.build(tokenizer_of(release).config)
    decoder = _numbers(tokenizer.get_submodule("decoder"))
    weights = _numbers(generator) * BYTES[dtype] + decoder * BYTES[Runtime(dtype=dtype).decoder_dtype]
    weights += (_numbers(tokenizer) - decoder) * BYTES["float32"]
    order = cast(Order, generator.order)
    rows = 2 * batch if _needs_null(recipe or release.recipe, order) else batch
    slack = sum(one.slack for one in accelerators)
    cache = config.cache_spec(rows, order.kept + slack, dtype, order.slots - order.kept).nbytes
    for one in accelerators:
        for name in one.companions:
            companion: Any = catalogue.find(name).config
            weights += _numbers(registry.build(companion)) * BYTES[dtype]
            cache += companion.cache_spec(one.copies * rows, order.slots + one.slack, dtype).nbytes
    if (teacher := _teacher(release, recipe or release.recipe)) is not None:
        weights += _numbers(registry.build(teacher)) * BYTES[dtype]
        cache += teacher.cache_spec(rows, order.kept, dtype, order.slots - order.kept).nbytes
    return Estimate(weights=weights, cache=cache, activations=0)


class PeakMemory:
    """`bytes`: the most memory above that at entry, while the body of a `with` runs.

    On a GPU torch's own count. Elsewhere anonymous resident memory (weights that are mapped from a file do
    not count), looked at every 2 ms by a thread: a shorter peak may be missed. Freed memory that malloc keeps
    is given back to the system first, so that an earlier run does not hide a later one.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.bytes = 0
        self._over = threading.Event()

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        _give_back()
        self._before = _resident()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
            return
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, _resident() - self._before)


class LiveBytes(TorchDispatchMode):
    """`peak`: the most bytes that tensors made inside of the `with` held at one time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._keep(tensor.untyped_storage())
        copies = args[0].nbytes + made.nbytes if func in _CONVOLUTIONS and not _channels_last(args[0]) else 0
        self.peak = max(self.peak, self.now + copies)
        return made

    def _keep(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, count: int) -> None:
        self.now -= count


def _live_bytes(release: Release, batch: int, dtype: Dtype, recipe: Recipe) -> tuple[int, int]:
    """The most that lives beside the weights of a single block: while it walks, its cache included, and while
    pictures are decoded, when the cache is gone. What a further block leaves behind but for its cache, its
    rows of conditions, is under a hundredth of it."""
    sketch = Sketch.of(release, dtype, depth=1)
    if recipe.head is not None:  # all steps of a head take the same
        recipe = replace(recipe, head=replace(recipe.head, steps=Fixed(1)))
    walked = 0
    with LiveBytes() as live:
        for event in sketch.run(recipe, batch):
            if isinstance(event, Advance):
                walked, live.peak = max(walked, live.peak), 0
    return walked, live.peak


def _teacher(release: Release, recipe: Recipe) -> GeneratorConfig | None:
    """The numbers of the teacher that takes a part in a student's steps, at the student's depth."""
    if recipe.few is None or recipe.few.start is None or release.distilled is None:
        return None
    return replace(catalogue.find(release.distilled.teacher).generator, depth=release.generator.depth)


def _needs_null(recipe: Recipe, order: Order) -> bool:
    """Whether null rows run: they do for all units as soon as one of them is guided."""
    guidance = recipe.guidance
    return guidance is not None and any(
        guidance.weight(unit.progress, unit.made.start) != 1 for unit in order.units()
    )


def _numbers(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.state_dict().values())


def _channels_last(x_BCHW: Tensor) -> bool:
    return x_BCHW.is_contiguous(memory_format=torch.channels_last)


def _resident() -> int:
    info = psutil.Process().memory_info()
    return int(info.rss - getattr(info, "shared", 0))


def _give_back() -> None:
    """glibc alone keeps freed memory and can be asked to return it."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
