"""`genstudio compare`: models and recipes on the same seeds, by time, memory and quality, on one page.

Whoever changes a setting gets other pictures at another speed: the page shows both, and which setting is the
fastest of those as good as the plain recipe.
"""

import json
import time
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genstudio.cli.complete import model_names
from genstudio.cli.console import Meter, emit, note
from genstudio.cli.options import (
    Device,
    Dtype,
    EachAccel,
    FeatureSource,
    Json,
    Judge,
    KernelChoice,
    Negative,
    PromptFile,
    Quiet,
)
from genstudio.cli.table import show_table
from genstudio.cli.texts import check_plan, plan_texts
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from genstudio.comparison.point import Point
    from genstudio.comparison.report import Report
    from genstudio.comparison.run import Comparison

Models = Annotated[
    list[str] | None, typer.Argument(help="Names or folders of releases.", autocompletion=model_names)
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="FIELD=A,B,C; several make a grid. Fields: cfg, top_k, top_p, temperature, smooth, best_of, "
        "accept, accel, dtype.",
    ),
]
Count = Annotated[int, typer.Option("-n", "--num", min=2, help="Pictures of each setting.")]
Seed = Annotated[int, typer.Option("--seed", help="Picture i has seed SEED + i, in every setting.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Pictures sampled together.")]
Match = Annotated[
    float | None,
    typer.Option("--match", min=0, help="Name the fastest setting within this of the plain distance."),
]
Features = Annotated[str | None, typer.Option("--extractor", help="Whose features, if no protocol says.")]
Weights = Annotated[Path | None, typer.Option("--feature-weights", help="File of Inception weights.")]
Against = Annotated[str | None, typer.Option("-r", "--reference", help="Statistics, by name or file.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder, or the page's own name: x.html.")]


def compare(
    models: Models = None,
    vary: Vary = None,
    num: Count = 2_000,
    seed: Seed = 0,
    batch: Batch = 100,
    prompts: PromptFile = None,
    negative: Negative = None,
    features: FeatureSource = None,
    match: Match = None,
    extractor: Features = None,
    feature_weights: Weights = None,
    reference: Against = None,
    judge: Judge = None,
    accel: EachAccel = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    kernels: KernelChoice = None,
    output: Output = Path("out/compare"),
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare models and recipes on the same seeds; the same command goes on where it was stopped.

    genstudio compare var-fashion --vary cfg=0,0.5,1,2,4 --match 0.1

    genstudio compare llamagen-xl-384 --accel jacobi --accel spectr:k=2

    genstudio compare var-fashion --vary best_of=1,2,4 --vary top_k=0,100 -n 10000 -o report.html
    """
    from genstudio.comparison.plans import plans
    from genstudio.comparison.settings import NO_ACCELERATOR, parse_varied, settings
    from genstudio.releases import catalogue
    from genstudio.runtime import Runtime

    if match is not None and not isfinite(match):
        raise GenstudioError(f"--match {match:g} is no distance.", "Give a number such as 0.1.")
    varied = {**parse_varied(vary or []), **({"accel": (NO_ACCELERATOR, *accel)} if accel else {})}
    releases = [catalogue.find(name) for name in models or [catalogue.DEFAULT]]
    named = [(release.folder or release.name, release) for release in releases]
    usual = Runtime.choose(device, dtype).dtype
    chosen = settings(named, varied, usual, judge)
    asked = {"extractor": extractor, "reference": reference, "samples": num, "seed": seed, "batch": batch}
    shown = [
        plan_texts(release, prompts=prompts, features=features, negative=negative) for release in releases
    ]
    planned = plans(chosen, **asked, **shown[0])
    for release in releases:
        check_plan(release, planned[0], quiet or json_)
    files = _Files(output)
    from genstudio.comparison.run import Comparison

    comparison = Comparison(
        settings=chosen,
        plans=planned,
        fields=tuple(varied),
        folder=files.points,
        machine={"device": device, "kernels": kernels},
        feature_weights=feature_weights,
    )
    report = _made(comparison, match, files, quiet or json_)
    if json_:
        emit({**report.as_dict(), "files": files.names()})
    else:
        _say(report, files)


class _Files:
    """Where a comparison lies: a folder, or a page with its companions beside it."""

    def __init__(self, output: Path) -> None:
        alone = output.suffix == ".html"
        self.page = output if alone else output / "report.html"
        self.points = output.with_name(f"{output.stem}-points") if alone else output / "points"

    def write(self, report: "Report") -> None:
        """Page, JSON and CSV of the points that are finished."""
        from genstudio.comparison.page import page
        from genstudio.files import write_text

        data = json.dumps(report.as_dict(), indent=1, ensure_ascii=False)
        write_text(self.page.with_suffix(".json"), data + "\n")
        write_text(self.page.with_suffix(".csv"), report.as_csv())
        write_text(self.page, page(report))

    def names(self) -> list[str]:
        """What `write` leaves."""
        return [str(self.page.with_suffix(ending)) for ending in (".html", ".json", ".csv")]


def _made(comparison: "Comparison", match: float | None, files: _Files, quiet: bool) -> "Report":
    """Run it; the report is written anew after every point, so that a stopped run leaves one too."""
    from genstudio.comparison.report import Report

    found: dict[int, Point] = {}
    report = Report(total=len(comparison.settings), varied=comparison.fields, tolerance=match, date=_today())
    each = comparison.plans[0].samples or 0
    with Meter("pictures", each * report.total, quiet) as meter:
        for number, point, made in comparison.run(lambda done: meter.reach(each * len(found) + done)):
            found[number] = point
            report = replace(report, points=tuple(found[one] for one in sorted(found)))
            files.write(report)
            note(_line(point) if made else f"{point.model}, {point.name}: there already", quiet)
            (meter.reach if made else meter.skip)(each * len(found))
    return report


def _line(point: "Point") -> str:
    return f"{point.model}, {point.name}: distance {point.distance:.4g}, {point.seconds:.4g} s a picture"


def _say(report: "Report", files: _Files) -> None:
    columns = ("MODEL", "SETTING", "LABEL", "S/IMAGE", "SPEED", "DISTANCE", "95 %", "FRONT")
    show_table(columns, [_row(report, point) for point in report.points])
    for model, point in report.chosen.items():
        print(f"{model}: fastest within {report.tolerance:g} of the plain distance: {point.name}")
    if report.blurred:
        print("The tolerance is finer than the intervals: more pictures (-n) tell.")
    if report.disturbed:
        print(f"Other programs had up to {report.busiest:.0%} of the processors: do not rely on times.")
    print("\n".join(files.names()))


def _row(report: "Report", point: "Point") -> tuple[str, ...]:
    score, speed = point.scores["frechet"], report.speedup(point)
    return (
        point.model,
        point.name,
        point.label,
        f"{point.seconds:.4g}",
        "" if speed is None else f"{speed:.2f}x",
        f"{score.value:.4g}",
        "" if score.low is None or score.high is None else f"{score.low:.4g} to {score.high:.4g}",
        "front" if point in report.front else "",
    )


def _today() -> str:
    return time.strftime("%Y-%m-%d")
