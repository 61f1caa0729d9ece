"""Whether a run fits into memory, answered before anything is loaded. No torch until it is asked.

With a limit the whole estimate has to fit. Without one only a hopeless run is refused: one whose weights and
cache alone exceed what is free; the operating system would end it without a word.
"""

import re
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genstudio.errors import Exit, GenstudioError
from genstudio.releases.places import size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genstudio.measure.memory import Estimate
    from genstudio.releases.release import Release
    from genstudio.runtime import Runtime
    from genstudio.samplers.accelerators import Accelerator
    from genstudio.samplers.recipe import Recipe

PREFIXES: Final = ("", "K", "M", "G", "T")
CONTAINER_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def parse_size(text: str) -> int:
    """Bytes of "8GB", "512MB", "1.5GiB" or a plain number. Raises GenstudioError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?))?B?\s*", text.upper())
    if match is None or float(match[1]) == 0:
        raise GenstudioError(f"{text!r} is no amount of memory.", "Write it as 8GB, 512MB or 1.5GiB.")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** PREFIXES.index(match[2] or ""))


def check_memory(
    release: "Release",
    batch: int,
    runtime: "Runtime",
    limit: int | None = None,
    recipe: "Recipe | None" = None,
    accelerators: "Sequence[Accelerator]" = (),
) -> None:
    """Refuse (exit code 4) to sample `batch` pictures together where they do not fit into `limit` bytes, or
    without a limit certainly not into what is free on the runtime's device.

    Costs 0.1 s, with a limit a second. Without `recipe` the release's own.
    """
    from genstudio.measure.memory import estimate, held

    counted = held if limit is None else estimate
    bound = free_memory(runtime) if limit is None else limit

    def need(pictures: int) -> "Estimate":
        return counted(release, pictures, runtime.dtype, recipe, accelerators)

    found = need(batch)
    if found.total <= bound:
        return
    fitting = _largest(batch - 1, bound, need)
    allowed = f"{size_text(bound)} {'are free' if limit is None else 'are allowed'}"
    message = f"{release.name} at batch {batch} needs {_parts(found)}; {allowed}."
    raise GenstudioError(message, _remedy(fitting, runtime), Exit.MEMORY)


def fitting_batch(
    release: "Release",
    batch: int,
    runtime: "Runtime",
    limit: int,
    recipe: "Recipe | None" = None,
    accelerators: "Sequence[Accelerator]" = (),
) -> int:
    """The most pictures, up to `batch`, that can be sampled together within `limit` bytes.

    Raises GenstudioError (exit code 4) where not even one can.
    """
    from genstudio.measure.memory import estimate

    def need(pictures: int) -> "Estimate":
        return estimate(release, pictures, runtime.dtype, recipe, accelerators)

    if need(batch).total <= limit:
        return batch
    fitting = _largest(batch - 1, limit, need)
    if not fitting:
        check_memory(release, 1, runtime, limit, recipe, accelerators)
    return fitting


def free_memory(runtime: "Runtime") -> int:
    """Bytes that a new run could get: of the GPU, else of the machine or the container that holds us."""
    import psutil

    if runtime.device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(runtime.torch_device)[0])
    limit = CONTAINER_LIMIT.read_text().strip() if CONTAINER_LIMIT.is_file() else "max"
    available = int(psutil.virtual_memory().available)
    return available if limit == "max" else min(available, int(limit))


def _largest(batch: int, bound: int, need: "Callable[[int], Estimate]") -> int:
    """The largest batch up to `batch` that needs no more than `bound`; 0 if there is none."""
    return bisect_right(range(1, batch + 1), bound, key=lambda fewer: need(fewer).total)


def _parts(found: "Estimate") -> str:
    parts = {"weights": found.weights, "cache": found.cache, "activations": found.activations}
    said = ", ".join(f"{name} {size_text(count)}" for name, count in parts.items() if count)
    certain = "about" if found.activations else "more than"
    return f"{certain} {size_text(found.total)} ({said})"


def _remedy(fitting: int, runtime: "Runtime") -> str:
    if fitting:
        return f"Give --batch {fitting}: the most that fits."
    narrower = "try --dtype bf16, or " if runtime.dtype == "float32" else ""
    return f"Not even one picture fits: {narrower}choose a smaller model."
