"""`genstudio bench`: how fast a model is here, how much memory it takes, and how near that is to the machine.

Speed claims do not transfer between machines, so a number never stands without the device, number type and
batch, the spread of its runs, and the rates that the machine itself reached in the same minute.
"""

from typing import Annotated, Any

import typer

from genstudio.cli.console import emit, note
from genstudio.cli.options import (
    Cfg,
    Compile,
    Device,
    EachAccel,
    HeadSteps,
    Heat,
    Json,
    KernelChoice,
    Model,
    Quiet,
    Smooth,
    Steps,
    TopK,
    TopP,
)
from genstudio.cli.table import show_facts, show_table
from genstudio.errors import GenstudioError

Batches = Annotated[str, typer.Option("--batch", help="Pictures sampled together: 1,16.")]
Dtypes = Annotated[str, typer.Option("--dtype", help="auto, or a list: fp32,bf16.")]
Runs = Annotated[int, typer.Option("-n", "--num", min=1, help="Runs of which the median is taken.")]
WarmUp = Annotated[int, typer.Option("--warmup", min=1, help="Runs before them; memory is watched there.")]

COLUMNS = (
    "DTYPE",
    "BATCH",
    "IMAGES/S",
    "RANGE",
    "S/IMAGE",
    "FIRST IMAGE",
    "TOKENS/S",
    "WEIGHTS",
    "CACHE",
    "PEAK",
    "FLOP/S",
    "MATRIX",
    "COPY",
)
DRAFTED = (
    "DTYPE",
    "BATCH",
    "ACCELERATOR",
    "PROMISE",
    "IMAGES/S",
    "CODES/PASS",
    "ACCEPTED",
    "PASS",
    "BESIDE PLAIN",
)


def bench(
    model: Model = None,
    batch: Batches = "1,16",
    dtype: Dtypes = "auto",
    num: Runs = 5,
    warmup: WarmUp = 1,
    cfg: Cfg = None,
    top_k: TopK = None,
    top_p: TopP = None,
    temperature: Heat = None,
    steps: Steps = None,
    head_steps: HeadSteps = None,
    smooth: Smooth = None,
    accel: EachAccel = None,
    device: Device = "auto",
    kernels: KernelChoice = None,
    compile_: Compile = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure speed and memory of a model, beside what the machine can do; every --accel beside plain.

    genstudio bench var-fashion

    genstudio bench llamagen-xl-384 --accel jacobi --accel spectr

    genstudio bench var-d16 --batch 1,8,64 --dtype fp32,bf16 --json
    """
    batches = _batches(batch)
    from genstudio.releases import catalogue

    release = catalogue.find(model) if model else catalogue.default()
    recipe = release.override(
        cfg=cfg,
        top_k=top_k,
        top_p=top_p,
        temperature=temperature,
        smooth=smooth,
        steps=steps,
        head_steps=head_steps,
    )
    from genstudio.measure.bench import Bench
    from genstudio.samplers.accelerators import check_companions, choose_accelerators

    accelerators = [one for text in accel or [] for one in choose_accelerators(release, [text])]
    check_companions(accelerators)
    plan = Bench(
        model=model or release.name,
        release=release,
        recipe=recipe,
        batches=batches,
        dtypes=list(dict.fromkeys(dtype.split(","))),
        accelerators=accelerators,
        runs=num,
        warm_up=warmup,
        device=device,
        kernels=kernels,
        compile=compile_,
    )
    report = plan.run(lambda text: note(text, quiet or json_))
    if json_:
        emit(report)
    else:
        _say(report)


def _batches(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise GenstudioError(f"--batch {text!r} is no list of batch sizes.", "Write it as 1,16.")
    return list(dict.fromkeys(map(int, parts)))


def _say(report: dict[str, Any]) -> None:
    plain = [case for case in report["cases"] if "accelerators" not in case]
    show_table(COLUMNS, [_row(case) for case in plain])
    print()
    if drafted := [case for case in report["cases"] if "accelerators" in case]:
        show_table(DRAFTED, [_drafted(case) for case in drafted])
        print()
    show_facts(_facts(report))
    if report["note"]:
        print(report["note"])


def _row(case: dict[str, Any]) -> tuple[str, ...]:
    from genstudio.releases.places import size_text

    speed, memory = case["images_per_second"], case["memory"]
    return (
        case["dtype"],
        str(case["batch"]),
        f"{speed['median']:.3g}",
        f"{speed['low']:.3g} to {speed['high']:.3g}",
        f"{case['image_seconds']['median']:.3g}",
        f"{case['first_image_seconds']['median']:.3g} s",
        f"{case['tokens_per_second']['median']:,.0f}",
        size_text(memory["weights"]),
        size_text(memory["cache"]),
        size_text(memory["peak_above_weights"]),
        f"{case['flops_per_second'] / 1e9:,.1f} G",
        f"{case['matrix_share']:.0%}",
        f"{case['copy_share']:.0%}",
    )


def _drafted(case: dict[str, Any]) -> tuple[str, ...]:
    return (
        case["dtype"],
        str(case["batch"]),
        "+".join(case["accelerators"]),
        case["exactness"],
        f"{case['images_per_second']['median']:.3g}",
        f"{case['codes_per_pass']:.2f}",
        f"{case['acceptance']:.0%}",
        f"{case['step_seconds']['median'] * 1e3:.3g} ms",
        f"{case['speed']:.2f}x, {'slower' if case['speed'] < 1 else 'faster'}",
    )


def _facts(report: dict[str, Any]) -> dict[str, str]:
    machine, case = report["machine"], report["cases"][0]
    rates = ", ".join(
        f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in machine["matrix_flops_per_second"].items()
    )
    transformer, decoder = case["flops"]["transformer"] / 1e9, case["flops"]["decoder"] / 1e9
    return {
        "model": f"{report['model']}, {report['recipe']}",
        "picture": f"{case['tokens']} tokens in {case['steps']} steps of "
        f"{case['step_seconds']['median'] * 1e3:.3g} ms, "
        f"{transformer:.4g} + {decoder:.4g} GFLOP (transformer + decoder)",
        "runs": f"median of {report['runs']} after {report['warm_up']} to warm up; "
        f"loading took {case['load_seconds']:.3g} s",
        "machine": f"{machine['device']}, {machine['name']}, {machine['threads']} threads",
        "its rates": f"{rates}; copies {machine['copy_bytes_per_second'] / 1e9:,.1f} GB/s",
        "versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    }
