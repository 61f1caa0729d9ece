"""Time decoding code by code with random weights, beside what this machine could do at best.

python scripts/bench_decode.py --batch 1,16 --dtype fp32,bf16 > decode.json

The limit of a case is the longer of two times: its products at the rate of a large square product, and the
bytes of weights, keys and values, each read once per step, at the rate of a large copy. Both rates are taken
anew before every turn, in the same process with the same threads. Pixels are not decoded.
`--beside FILE` sets other numbers for this machine beside ours, e.g. the official code's, measured by whoever
ran it here: {"float32": {"1": tokens per second, ...}, ...}. Nothing is known without it.
"""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.main import guarded
from genstudio.runtime import use_large_pages

if TYPE_CHECKING:
    from genstudio.measure.work import Work
    from genstudio.releases.release import Release
    from genstudio.samplers.recipe import Recipe
    from genstudio.studio import Studio

app = typer.Typer(add_completion=False)


@dataclass
class Case:
    """One way to run: a studio, how many pictures are sampled together, by which recipe; what that needs, and
    `seconds` and `limits` of every turn."""

    studio: "Studio"
    batch: int
    recipe: "Recipe"
    work: "Work"
    seconds: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)


@app.command()
def bench_decode(
    model: Annotated[str, typer.Argument(help="A release; its weights need not be here.")] = "llamagen-b-256",
    batch: Annotated[str, typer.Option(help="Pictures sampled together: 1,16.")] = "1,16",
    dtype: Annotated[str, typer.Option(help="Number types: fp32,bf16.")] = "fp32,bf16",
    cfg: Annotated[float | None, typer.Option(help="Guidance; 1 is none. The release's own if left.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    num: Annotated[int, typer.Option("-n", min=1, help="Turns after one to warm up.")] = 3,
    beside: Annotated[Path | None, typer.Option(help="Numbers of another program on this machine.")] = None,
) -> None:
    """Print tokens per second, limits and shares of them as JSON."""
    from genstudio.measure.bench import read_beside
    from genstudio.measure.machine import Others
    from genstudio.releases import catalogue

    release, others = catalogue.find(model), Others()
    recipe = release.recipe.override(cfg=cfg)
    cases = [
        _case(release, recipe, device, name, int(count))
        for name in dtype.split(",")
        for count in batch.split(",")
    ]
    for turn in range(num + 1):
        for case in cases:
            _take_turn(case, counts=turn > 0)
    print(json.dumps(_report(release, recipe, cases, others.share(), read_beside(beside)), indent=2))


def _case(release: "Release", recipe: "Recipe", device: str, dtype: str, batch: int) -> Case:
    from genstudio import registry
    from genstudio.measure.work import work
    from genstudio.releases.pairing import tokenizer_of
    from genstudio.runtime import Runtime
    from genstudio.studio import Studio
    from genstudio.training.initial import initialise

    runtime = Runtime.choose(device, dtype)
    networks = [initialise(registry.build(one.config, "cpu"), 0) for one in (release, tokenizer_of(release))]
    generator, tokenizer = (one.eval().requires_grad_(False).to(runtime.torch_device) for one in networks)
    studio = Studio(release, generator.to(runtime.torch_dtype), tokenizer, runtime)  # type: ignore[arg-type]
    return Case(studio, batch, recipe, work(release, batch, runtime.dtype, recipe))


def _take_turn(case: Case, counts: bool) -> None:
    from genstudio.measure.machine import copy_rate, matrix_rate

    runtime = case.studio.runtime
    products = case.work.transformer / matrix_rate(runtime.torch_device, runtime.torch_dtype)
    limit = max(products, case.work.read / copy_rate(runtime.torch_device))
    seconds = _decode(case)
    if counts:
        case.seconds.append(seconds)
        case.limits.append(limit)


def _decode(case: Case) -> float:
    """Seconds until all codes of one batch are known."""
    from genstudio.events import Advance
    from genstudio.measure.machine import synchronise
    from genstudio.request import Request, choose_pictures

    studio = case.studio
    pictures = choose_pictures(None, case.batch, "0", len(studio.classes))
    request = Request(model=studio.release.name, pictures=pictures, recipe=case.recipe, batch=case.batch)
    start = time.perf_counter()
    for event in studio.stream(request):
        if isinstance(event, Advance) and event.done == event.total:
            break
    synchronise(studio.runtime.torch_device)
    return time.perf_counter() - start


def _report(
    release: "Release", recipe: "Recipe", cases: list[Case], others: float, beside: dict[str, Any]
) -> dict[str, Any]:
    from genstudio.measure.bench import machine_of, note_on

    return {
        "model": release.name,
        "recipe": recipe.describe(),
        "weights": "random",
        "machine": machine_of(cases[0].studio.runtime),
        "others": others,
        "note": note_on(others),
        "cases": [_row(case, beside) for case in cases],
    }


def _row(case: Case, beside: dict[str, Any]) -> dict[str, Any]:
    dtype, codes = case.studio.runtime.dtype, case.batch * case.studio.generator.order.codes
    low, middle, high = (codes / of(case.seconds) for of in (max, median, min))
    row = {
        "dtype": dtype,
        "batch": case.batch,
        "tokens_per_second": {"median": middle, "low": low, "high": high},
        "limit_tokens_per_second": codes / median(case.limits),
        "share_of_limit": median(limit / own for limit, own in zip(case.limits, case.seconds, strict=True)),
        "needs": {"flops": case.work.transformer / codes, "read_bytes": case.work.read / codes},
    }
    if (other := beside.get(dtype, {}).get(str(case.batch))) is not None:
        row["times_as_fast_as_beside"] = middle / other
    return row


if __name__ == "__main__":
    use_large_pages()
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
