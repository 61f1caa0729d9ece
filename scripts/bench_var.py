"""Time VAR on this machine with random weights, every case against the plain float32 path of the same run.

python scripts/bench_var.py --batch 1,8 --dtype fp32,bf16 > speed.json

Cases take turns, so that whatever else the machine does hits all of them; a ratio is the median over turns.
`--beside FILE` sets other numbers for this machine beside ours, e.g. the official code's, measured by whoever
ran it here: {"float32": {"1": {"image_seconds": S, "peak_bytes": B}, ...}, ...}. Nothing is known without it.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.main import guarded
from genstudio.runtime import use_large_pages

if TYPE_CHECKING:
    from torch import nn

    from genstudio.releases.release import Config, Release
    from genstudio.request import Request
    from genstudio.studio import Studio

app = typer.Typer(add_completion=False)


@dataclass
class Case:
    """One way to run: a studio, whether it is compiled, and how many pictures are sampled together.

    `seconds` of every turn, and `peak_bytes` above the loaded weights, seen in the turn before them.
    """

    studio: "Studio"
    compiled: bool
    batch: int
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0


@app.command()
def bench_var(
    model: Annotated[str, typer.Argument(help="A VAR release; its weights need not be here.")] = "var-d16",
    batch: Annotated[str, typer.Option(help="Pictures sampled together: 1,8.")] = "1,8",
    dtype: Annotated[str, typer.Option(help="Number types beside fp32: bf16.")] = "bf16",
    compiled: Annotated[bool, typer.Option("--compile", help="Time the compiled networks too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    num: Annotated[int, typer.Option("-n", min=1, help="Turns after one to warm up.")] = 3,
    beside: Annotated[Path | None, typer.Option(help="Numbers of another program on this machine.")] = None,
) -> None:
    """Print seconds, ratios and memory as JSON."""
    from genstudio.measure.bench import read_beside
    from genstudio.measure.machine import Others
    from genstudio.releases import catalogue

    release = catalogue.find(model)
    others = Others()
    dtypes = list(dict.fromkeys(["fp32", *dtype.split(",")]))
    studios = list(_studios(release, device, dtypes, compiled))
    cases: list[Case] = []
    for count in map(int, batch.split(",")):
        together = [Case(studio, by_compiler, count) for studio, by_compiler in studios]
        _take_turns(together, num)
        cases += together
    print(json.dumps(_report(release, cases, others.share(), read_beside(beside)), indent=2))


def _studios(
    release: "Release", device: str, dtypes: list[str], compiled: bool
) -> "Iterator[tuple[Studio, bool]]":
    """A studio per number type, plain and compiled; all hold the same random numbers."""
    from genstudio.releases.pairing import tokenizer_of
    from genstudio.runtime import Runtime
    from genstudio.studio import Studio

    tokenizer = tokenizer_of(release)
    for name in dtypes:
        runtime = Runtime.choose(device, name)
        for by_compiler in (False, True) if compiled else (False,):
            generator = _random(release.config).to(runtime.torch_device, runtime.torch_dtype)
            studio = Studio(release, generator, _random(tokenizer.config).to(runtime.torch_device), runtime)  # type: ignore[arg-type]
            if by_compiler:
                studio.compile()
            yield studio, by_compiler


def _random(config: "Config") -> "nn.Module":
    """Initial values of VAR; normal numbers of the usual size for a tokenizer."""
    import torch

    from genstudio import registry
    from genstudio.generators.var import VAR, initialise

    torch.manual_seed(0)
    network = registry.build(config, "cpu").eval().requires_grad_(False)
    if isinstance(network, VAR):
        initialise(network, torch.Generator().manual_seed(0))
    return network


def _take_turns(cases: list[Case], turns: int) -> None:
    from genstudio.measure.memory import PeakMemory

    for case in cases:
        with PeakMemory(case.studio.runtime.torch_device) as peak:
            _sample(case)
        case.peak_bytes = peak.bytes
    for _ in range(turns):
        for case in cases:
            case.seconds.append(_sample(case))


def _sample(case: Case) -> float:
    """Seconds of one batch."""
    from genstudio.measure.machine import synchronise

    start = time.perf_counter()
    for _ in case.studio.stream(_request(case)):
        pass
    synchronise(case.studio.runtime.torch_device)
    return time.perf_counter() - start


def _request(case: Case) -> "Request":
    from genstudio.request import Request, choose_pictures

    release = case.studio.release
    pictures = choose_pictures(None, case.batch, "0", len(case.studio.classes))
    return Request(model=release.name, pictures=pictures, recipe=release.recipe, batch=case.batch)


def _report(release: "Release", cases: list[Case], others: float, beside: dict[str, Any]) -> dict[str, Any]:
    from genstudio.measure.bench import machine_of, note_on

    return {
        "model": release.name,
        "recipe": release.recipe.describe(),
        "weights": "random",
        "machine": machine_of(cases[0].studio.runtime),
        "others": others,
        "note": note_on(others),
        "cases": [_row(case, cases, beside) for case in cases],
    }


def _row(case: Case, cases: list[Case], beside: dict[str, Any]) -> dict[str, Any]:
    from genstudio.measure.memory import held

    dtype = case.studio.runtime.dtype
    plain = next(one for one in cases if one.batch == case.batch)
    ratios = [base / own for base, own in zip(plain.seconds, case.seconds, strict=True)]
    low, middle, high = (of(case.seconds) / case.batch for of in (min, median, max))
    weights = held(case.studio.release, case.batch, dtype).weights
    row = {
        "dtype": dtype,
        "batch": case.batch,
        "compile": case.compiled,
        "image_seconds": {"median": middle, "low": low, "high": high},
        "times_as_fast_as_plain_float32": median(ratios),
        "memory": {"weights": weights, "peak_above_weights": case.peak_bytes},
    }
    other = beside.get(dtype, {}).get(str(case.batch))
    if other is not None:
        row["beside"] = {
            "times_as_fast": other["image_seconds"] / middle,
            "share_of_memory": (weights + case.peak_bytes) / other["peak_bytes"],
        }
    return row


if __name__ == "__main__":
    use_large_pages()
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
