"""What `eval-fid` does between its flags and its report: a plan, its progress, its files, its words."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genstudio.cli.console import Meter, note
from genstudio.cli.texts import check_plan, plan_texts
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from genstudio.evaluation.evaluate import Evaluation, Keep, Result
    from genstudio.evaluation.plan import Plan
    from genstudio.evaluation.scores import Sample
    from genstudio.releases.release import Metric, Release

GRID_COLUMNS = 10
RESULT = "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The flags of a run: `asked` are fields of the plan, `fields` of the recipe, `choosing` of a selection,
    `texts` of the prompts, `accel` names accelerators, `machine` is of the studio."""

    asked: dict[str, Any]
    fields: dict[str, Any]
    choosing: dict[str, Any]
    accel: list[str]
    texts: dict[str, Any]
    machine: dict[str, Any]
    max_memory: str | None
    feature_weights: Path | None
    save_stats: Path | None
    keep: "Keep"
    output: Path
    resume: Path | None
    until_interval: float | None
    skip_bad: bool


def metrics(text: str | None) -> "tuple[Metric, ...] | None":
    """The list that --metrics names."""
    from genstudio.evaluation.plan import parse_metrics

    return None if text is None else parse_metrics(text)


def run(source: str | None, wanted: Wanted, quiet: bool) -> dict[str, Any] | None:
    """Everything that the command reports; None in the processes that do not speak."""
    from genstudio.processes import Processes

    processes = Processes.of_this_run()
    quiet = quiet or not processes.first
    release, path = _find(source)
    plan = _fitted(_plan(release, path, wanted), release, wanted, quiet)
    evaluation = _opened(release, path, plan, wanted, quiet)
    sample = _watched(evaluation, wanted, quiet)
    report = None
    if processes.first:
        result = evaluation.score(sample)
        report = {**_report(plan, release, result), "files": _files(evaluation, sample, wanted)}
        if wanted.resume is not None:
            from genstudio.files import write_text

            write_text(wanted.resume / RESULT, json.dumps(report, indent=2) + "\n")
    processes.leave()
    if processes.first:
        evaluation.close()
    return report


def say(report: dict[str, Any]) -> None:
    """The report for people."""
    from genstudio.cli.table import show_facts, show_table

    print(f"{report['source']}: {report['samples']:,} pictures")
    show_table(
        ("METRIC", "VALUE", "95 %", "SMALL-SAMPLE BIAS", "SPREAD"),
        [_row(**one) for one in report["metrics"].values()],
    )
    reported = "; ".join(f"{one['metric']} {one['value']:g} ({one['source']})" for one in report["reported"])
    plan = report["plan"]
    facts = {
        "reported": reported or "nothing",
        "protocol": "; ".join(report["deviations"]) or "followed",
        "extractor": f"{report['extractor']}, weights {report['extractor_weights'][:16]}",
        "reference": f"{report['reference']}, {(report['reference_hash'] or '')[:16]}"
        if report["reference"]
        else "none",
        "pictures": f"sha256 {report['digest'][:16]}, seeds from {plan['seed']}, {plan['labels']} labels",
        "time": f"{report['seconds_per_image']:.4g} s an image for sampling",
        "left out": ", ".join(report["left_out"]),
        "files": ", ".join(report["files"]),
    }
    if plan["recipe"] is None:
        facts |= {"pictures": f"sha256 {report['digest'][:16]}", "protocol": "", "reported": "", "time": ""}
    show_facts({name: value for name, value in facts.items() if value})


def _find(source: str | None) -> "tuple[Release | None, Path | None]":
    """A release, or pictures that exist; a folder with a release.json is a release."""
    from genstudio.releases import catalogue

    if source is None:
        return catalogue.default(), None
    path = Path(source)
    known = source in catalogue.names() or (path / catalogue.RELEASE).is_file()
    if not known and (path.is_dir() or path.suffix == ".npz"):
        if not path.exists():
            raise GenstudioError(f"There is no file {path}.", "Give a model, a folder or an .npz of samples.")
        return None, path
    return catalogue.find(source), None


def _plan(release: "Release | None", path: Path | None, wanted: Wanted) -> "Plan":
    from genstudio.evaluation.plan import INCEPTION, Plan, plan_for
    from genstudio.samplers.accelerators import choose_accelerators, describe
    from genstudio.selection import choose_selection

    if release is not None:
        if release.tokenizer is None:
            raise GenstudioError(
                f"{release.name} makes no pictures.", "Choose a generator: genstudio models."
            )
        name = release.folder or release.name
        recipe, selection = (
            release.override(**wanted.fields),
            choose_selection(release, **wanted.choosing),
        )
        texts = plan_texts(release, **wanted.texts, classes=wanted.asked["labels"])
        chosen = tuple(map(describe, choose_accelerators(release, wanted.accel, recipe)))
        parts: dict[str, Any] = {"recipe": recipe, "selection": selection, "accelerators": chosen}
        return plan_for(release, name, **parts, **texts, **wanted.asked)
    flags = {**wanted.fields, **wanted.texts, "accel": wanted.accel or None}
    if given := [name for name, value in flags.items() if value is not None]:
        raise GenstudioError(f"{path} is no model, so {', '.join(given)} means nothing.", "Leave it away.")
    asked = {name: value for name, value in wanted.asked.items() if value is not None}
    if "reference" not in asked and wanted.save_stats is None:
        raise GenstudioError(
            f"There is nothing to compare {path} with.", "Give --reference: a folder, statistics, or a name."
        )
    return Plan(**{"source": str(path), "samples": None, "extractor": INCEPTION, "reference": None, **asked})


def _opened(
    release: "Release | None", path: Path | None, plan: "Plan", wanted: Wanted, quiet: bool
) -> "Evaluation":
    from genstudio.evaluation.evaluate import open_evaluation, sampled, stored
    from genstudio.evaluation.plan import deviations
    from genstudio.processes import Processes
    from genstudio.runtime import Runtime

    if release is not None:
        from genstudio.samplers.accelerators import check_companions, parse
        from genstudio.studio import Studio

        check_companions([*map(parse, plan.accelerators)])
        check_plan(release, plan, quiet)
        studio = Studio.load(plan.source, **wanted.machine)
        source = sampled(studio, plan)
        recipe = plan.recipe.describe() if plan.recipe else ""
        note(f"{release.name} on {studio.runtime.describe()}, {recipe}", quiet)
        for deviation in deviations(plan, release):
            note(f"not the protocol: {deviation}", quiet)
    else:
        assert path is not None
        source = stored(path, wanted.skip_bad)
    return open_evaluation(
        plan,
        source,
        folder=wanted.resume,
        device=Runtime.choose(wanted.machine["device"]).device,
        feature_weights=wanted.feature_weights,
        pictures=_folder(plan, wanted) / "pictures" if wanted.keep == "all" and release else None,
        processes=Processes.of_this_run(),
        say=lambda text: note(text, quiet),
    )


def _fitted(plan: "Plan", release: "Release | None", wanted: Wanted, quiet: bool) -> "Plan":
    """The plan in batches that fit; what does not fit is refused before anything is loaded."""
    from genstudio.measure.budget import check_memory, fitting_batch, parse_size
    from genstudio.runtime import Runtime
    from genstudio.samplers.accelerators import parse

    if release is None:
        return plan
    limit = parse_size(wanted.max_memory) if wanted.max_memory else None
    runtime = Runtime.choose(wanted.machine["device"], wanted.machine["dtype"])
    together = min(plan.batch, plan.samples or plan.batch)
    made: dict[str, Any] = {"recipe": plan.recipe, "accelerators": [*map(parse, plan.accelerators)]}
    if limit is None or wanted.asked["batch"] is not None:
        check_memory(release, together, runtime, limit, **made)
        return plan
    fitting = fitting_batch(release, together, runtime, limit, **made)
    if fitting == together:
        return plan
    note(f"{wanted.max_memory}: {fitting} pictures at a time, not {together}", quiet)
    return replace(plan, batch=fitting)


def _watched(evaluation: "Evaluation", wanted: Wanted, quiet: bool) -> "Sample":
    """Run it with a bar that also shows how the distance stands."""
    from genstudio.evaluation.running import Running

    extraction = evaluation.extraction
    before, total = extraction.missing(), len(extraction.source)
    if before < total:
        note(f"going on: {total - before:,} of {total:,} pictures are there", quiet)
    running = Running(evaluation.reference)
    try:
        with Meter("pictures", total, quiet) as meter:
            return evaluation.run(
                lambda progress: meter.reach(progress.done, running.text(progress)), wanted.until_interval
            )
    except KeyboardInterrupt:
        note("Whole batches are kept; the same command goes on.", quiet)
        raise


def _files(evaluation: "Evaluation", sample: "Sample", wanted: Wanted) -> list[str]:
    """Statistics and pictures that the user wants to keep."""
    from genstudio.evaluation.reference import save_reference

    written: list[Path] = []
    if wanted.save_stats is not None:
        save_reference(wanted.save_stats, evaluation.statistics(sample))
        written.append(wanted.save_stats)
    if evaluation.extraction.pictures is not None:
        written.append(evaluation.extraction.pictures)
    if wanted.keep != "none":
        written.append(_grid(sample, _folder(evaluation.plan, wanted) / "eval-grid.png"))
    return [str(path) for path in written]


def _grid(sample: "Sample", path: Path) -> Path:
    import torch

    from genstudio.evaluation.run import PIXELS, PREVIEWED
    from genstudio.media.grid import grid
    from genstudio.media.png import save_png

    first = [at for at in sample.shards.ranges if at.start < min(PREVIEWED, sample.until)]
    pixels = torch.cat([sample.shards.one(at, PIXELS) for at in first])
    return save_png(path, grid(pixels, GRID_COLUMNS), fresh=True)


def _folder(plan: "Plan", wanted: Wanted) -> Path:
    return wanted.output / Path(plan.source).name


def _report(plan: "Plan", release: "Release | None", result: "Result") -> dict[str, Any]:
    from genstudio.evaluation.plan import deviations

    found = result.as_dict()
    return {
        **{name: value for name, value in found.items() if name != "facts"},
        **result.facts,
        "reported": [asdict(one) for one in release.reported] if release else [],
        "deviations": deviations(plan, release) if release else [],
        "date": time.strftime("%Y-%m-%d"),
    }


def _row(
    label: str, value: float, low: float | None, high: float | None, bias: float | None, spread: float | None
) -> tuple[str, ...]:
    interval = f"{low:.4g} to {high:.4g}" if low is not None and high is not None else ""
    return (
        label,
        f"{value:.4g}",
        interval,
        "" if bias is None else f"{bias:.3g}",
        "" if spread is None else f"{spread:.3g}",
    )
