"""A benchmark: batch sizes x number types of one model, beside what the model needs and the machine can do;
and every accelerator beside plain decoding.

The protocol: device, threads and versions are named; loading stands apart; warm-up, then the median of some
runs; memory split into weights, cache and the measured peak; rates of the machine measured in the same run.
On a machine that does other things the numbers stand, but not as a headline.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from genstudio_kernels.select import Kernels, chosen

from genstudio.errors import GenstudioError
from genstudio.measure.budget import check_memory
from genstudio.measure.machine import copy_rate, device_name, matrix_rate
from genstudio.measure.memory import estimate
from genstudio.measure.timing import Spread, Timing, measure
from genstudio.measure.work import work
from genstudio.releases.release import Release
from genstudio.runtime import Runtime
from genstudio.samplers.accelerators import Accelerator, describe, promise
from genstudio.samplers.recipe import Recipe
from genstudio.studio import Studio

BUSY: Final = 0.1  # share of the machine from which on other processes spoil a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What to measure: `model` is what loads the release; every batch size with every number type, plain and
    with each of the `accelerators` alone."""

    model: str
    release: Release
    recipe: Recipe
    batches: Sequence[int]
    dtypes: Sequence[str]
    accelerators: Sequence[Accelerator] = ()
    runs: int = 5
    warm_up: int = 1
    device: str = "auto"
    kernels: Kernels | None = None
    compile: bool = False

    def run(self, say: Callable[[str], None]) -> dict[str, Any]:
        """The report, with the keys of `genstudio bench --json`; `say` hears what is going on.

        Raises GenstudioError for what the machine does not have, memory (exit code 4) included.
        """
        runtimes = [Runtime.choose(self.device, dtype) for dtype in self.dtypes]
        for runtime in runtimes:
            for used in self._choices():
                made: dict[str, Any] = {"recipe": self.recipe, "accelerators": used}
                check_memory(self.release, max(self.batches), runtime, **made)
        say("rates of the machine")
        rates = _rates(runtimes)
        cases = [case for runtime in runtimes for case in self._cases(runtime, rates, say)]
        others = max(case["others"] for case in cases)
        return {
            "model": self.release.name,
            "recipe": self.recipe.describe(),
            "headline": others < BUSY,
            "note": note_on(others),
            "machine": {**machine_of(runtimes[0]), **self._twins(runtimes[0]), **rates},
            "runs": self.runs,
            "warm_up": self.warm_up,
            "cases": cases,
        }

    def _twins(self, runtime: Runtime) -> dict[str, Any]:
        return {"kernels": chosen(runtime.torch_device.type, self.kernels), "compile": self.compile}

    def _cases(
        self, runtime: Runtime, rates: dict[str, Any], say: Callable[[str], None]
    ) -> list[dict[str, Any]]:
        """All batch sizes of one number type, on one loaded studio."""
        start = time.perf_counter()
        studio = Studio.load(self.model, device=runtime.device, dtype=runtime.dtype, kernels=self.kernels)
        if self.compile:
            studio.compile()
        load = time.perf_counter() - start
        found: list[dict[str, Any]] = []
        for batch in self.batches:
            plain: Timing | None = None
            for used in self._choices():
                say(", ".join([f"{runtime.describe()}, batch {batch}", *map(describe, used)]))
                times = {"runs": self.runs, "warm_up": self.warm_up}
                timing = measure(studio, self.recipe, batch, accelerators=used, **times)
                case = self._case(runtime, timing, load, used)
                plain = plain or timing
                shares = self._drafting(used, timing, plain) if used else self._shares(runtime, timing, rates)
                found.append(case | shares)
        return found

    def _choices(self) -> list[tuple[Accelerator, ...]]:
        """Plain first, so that every accelerator has it beside it."""
        return [(), *((one,) for one in self.accelerators)]

    def _case(
        self, runtime: Runtime, timing: Timing, load: float, used: tuple[Accelerator, ...]
    ) -> dict[str, Any]:
        known = estimate(self.release, timing.batch, runtime.dtype, self.recipe, used)
        return {
            "batch": timing.batch,
            "dtype": runtime.dtype,
            "images_per_second": _spread(timing.images_per_second),
            "image_seconds": _spread(timing.image),
            "first_image_seconds": _spread(timing.first_image),
            "tokens_per_second": _spread(timing.tokens_per_second),
            "load_seconds": load,
            "warm_up_seconds": sum(run.seconds for run in timing.warm_up),
            "step_seconds": _spread(timing.step),
            "steps": timing.runs[0].steps,
            "tokens": timing.runs[0].codes,
            "memory": {
                "weights": known.weights,
                "cache": known.cache,
                "activations_estimate": known.activations,
                "peak_above_weights": timing.peak_bytes,
            },
            "others": timing.others,
        }

    def _drafting(self, used: tuple[Accelerator, ...], timing: Timing, plain: Timing) -> dict[str, Any]:
        """What it promised, what came of its drafts, and how fast that is beside plain decoding."""
        return {
            "accelerators": [*map(describe, used)],
            "exactness": promise(used, self.recipe).label,
            **timing.runs[0].stats,
            "speed": plain.image.median / timing.image.median,
        }

    def _shares(self, runtime: Runtime, timing: Timing, rates: dict[str, Any]) -> dict[str, Any]:
        """The work that plain decoding needs, as a share of what the machine can do."""
        needed = work(self.release, timing.batch, runtime.dtype, self.recipe)
        seconds = timing.image.median * timing.batch
        matrix, copy = rates["matrix_flops_per_second"], rates["copy_bytes_per_second"]
        ideal = needed.transformer / matrix[runtime.dtype] + needed.decoder / matrix[runtime.decoder_dtype]
        return {
            "flops": {
                "transformer": needed.transformer / timing.batch,
                "decoder": needed.decoder / timing.batch,
            },
            "flops_per_second": (needed.transformer + needed.decoder) / seconds,
            "matrix_share": ideal / seconds,
            "read_bytes_per_second": needed.read / seconds,
            "copy_share": needed.read / seconds / copy,
        }


def note_on(others: float) -> str | None:
    """Why the numbers are no headline, if they are none."""
    if others < BUSY:
        return None
    return f"not a headline: other processes used {others:.0%} of the machine".replace("%", " %")


def machine_of(runtime: Runtime) -> dict[str, Any]:
    """What a report says of the machine."""
    facts = runtime.facts()
    return {
        "device": facts["device"],
        "name": device_name(runtime.torch_device),
        "threads": facts["threads"],
        "versions": facts["versions"],
    }


def read_beside(path: Path | None) -> dict[str, Any]:
    """Numbers of another program on this machine, none without a file. Raises GenstudioError for one that
    is not JSON."""
    if path is None:
        return {}
    try:
        numbers: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        hint = "The top of the script that reads it says its form."
        raise GenstudioError(f"{path} cannot be read: {error}.", hint) from error
    return numbers


def _rates(runtimes: Sequence[Runtime]) -> dict[str, Any]:
    device = runtimes[0].torch_device
    dtypes = dict.fromkeys(name for one in runtimes for name in (one.dtype, one.decoder_dtype))
    return {
        "matrix_flops_per_second": {name: matrix_rate(device, getattr(torch, name)) for name in dtypes},
        "copy_bytes_per_second": copy_rate(device),
    }


def _spread(found: Spread) -> dict[str, float]:
    return found._asdict()
