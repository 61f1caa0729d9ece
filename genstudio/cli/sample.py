"""`genstudio sample`: pictures from a model, with the published recipe unless a flag says otherwise.

Every picture is written as soon as its batch is decoded, so that an interrupted run keeps what it finished.
The PNG holds the whole run; `--from` makes the same pixels again, in a batch of the same shape.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.console import Meter, emit, note
from genstudio.cli.options import (
    Accept,
    BestOf,
    Cfg,
    Compile,
    Device,
    Dtype,
    Heat,
    Json,
    Judge,
    KernelChoice,
    MaxMemory,
    Quiet,
    Smooth,
    Steps,
    TopK,
    TopP,
)
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from genstudio.cli.outputs import Outputs
    from genstudio.releases.release import Release
    from genstudio.request import Recorded, Request
    from genstudio.studio import Studio

Model = Annotated[str | None, typer.Argument(help="Name or folder of a release. Default: the showpiece.")]
Classes = Annotated[str | None, typer.Option("-c", "--class", help="Ids, ranges, names: 1,3-5,bag.")]
Count = Annotated[int | None, typer.Option("-n", "--num", help="Pictures of each class.")]
Seed = Annotated[str, typer.Option("--seed", help="7, or a list 1,5,9, or a range 0-63.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Pictures sampled together.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the pictures.")]
Grid = Annotated[
    bool | None, typer.Option("--grid/--no-grid", help="One picture of all [default: if several].")
]
Preview = Annotated[Path | None, typer.Option("--preview", help="Folder for one picture per step.")]
From = Annotated[Path | None, typer.Option("--from", help="Make the picture in this PNG again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run; load nothing.")]


def sample(
    model: Model = None,
    classes: Classes = None,
    num: Count = None,
    seed: Seed = "0",
    cfg: Cfg = None,
    top_k: TopK = None,
    top_p: TopP = None,
    temperature: Heat = None,
    steps: Steps = None,
    smooth: Smooth = None,
    best_of: BestOf = 1,
    accept: Accept = None,
    judge: Judge = None,
    batch: Batch = 16,
    device: Device = "auto",
    dtype: Dtype = "auto",
    kernels: KernelChoice = None,
    compile_: Compile = False,
    max_memory: MaxMemory = None,
    output: Output = Path("out"),
    grid: Grid = None,
    preview: Preview = None,
    source: From = None,
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make pictures.

    genstudio sample var-fashion -c bag,dress -n 4 --seed 0

    genstudio sample --from out/var-fashion/008-000003.png
    """
    fields = {"cfg": cfg, "top_k": top_k, "top_p": top_p, "temperature": temperature, "steps": steps}
    choosing = {"best_of": best_of, "accept": accept, "judge": judge}
    if source is not None:
        chosen = None if (best_of, accept, judge) == (1, None, None) else choosing
        _refuse_with_source(model=model, classes=classes, num=num, candidate=chosen)
        request, release, before = _replayed(source, {**fields, "smooth": smooth})
        dtype = before.dtype if dtype == "auto" else dtype
    else:
        before = None
        request, release = _asked(model, classes, num, seed, batch, {**fields, "smooth": smooth}, choosing)
    if max_memory is not None or not dry_run:
        _check_memory(request, release, device, dtype, max_memory)
    if dry_run:
        emit(_plan(request, release, device, dtype))
        return
    from genstudio.cli.outputs import Outputs

    wanted = Outputs(output / release.name, grid, preview)
    machine = {"device": device, "dtype": dtype, "kernels": kernels}
    result = _run(request, wanted, machine, before, compile_, quiet or json_)
    if json_:
        emit(result)
    else:
        _say(result)


def _asked(
    model: str | None,
    classes: str | None,
    num: int | None,
    seed: str,
    batch: int,
    fields: dict[str, Any],
    choosing: dict[str, Any],
) -> "tuple[Request, Release]":
    """The request that the flags make."""
    from genstudio.data.labels import names_of, parse_classes
    from genstudio.releases import catalogue
    from genstudio.request import Request, choose_pictures
    from genstudio.selection import choose_selection

    release = catalogue.find(model) if model else catalogue.default()
    count = getattr(release.config, "classes", None)
    if release.tokenizer is None or count is None:
        raise GenstudioError(f"{release.name} makes no pictures.", "Choose a generator: genstudio models.")
    labels = parse_classes(classes, names_of(release.classes, count)) if classes else None
    pictures = choose_pictures(labels, num, seed, count)
    recipe = release.recipe.override(**fields)
    # A folder is stored whole, so that --from finds it from anywhere.
    name = release.name if model is None or model in catalogue.names() else str(release.folder)
    selection = choose_selection(release, **choosing)
    return Request(model=name, pictures=pictures, recipe=recipe, batch=batch, selection=selection), release


def _replayed(source: Path, fields: dict[str, Any]) -> "tuple[Request, Release, Recorded]":
    """The request that a PNG of ours holds, with single recipe fields replaced, and what it was made with."""
    from genstudio.media.png import read_spec
    from genstudio.releases import catalogue
    from genstudio.request import from_spec, recorded

    data = read_spec(source)
    request = from_spec(data)
    changed = replace(request, recipe=request.recipe.override(**fields))
    return changed, catalogue.find(request.model), recorded(data)


def _refuse_with_source(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise GenstudioError(
                f"--from already says the {name}.", "Give recipe fields and outputs alone beside --from."
            )


def _check_memory(
    request: "Request", release: "Release", device: str, dtype: str, max_memory: str | None
) -> None:
    """Refuse what does not fit, before anything is loaded."""
    from genstudio.measure.budget import check_memory, parse_size
    from genstudio.runtime import Runtime

    limit = parse_size(max_memory) if max_memory else None
    together = min(request.batch, len(request.pictures))
    check_memory(release, together, Runtime.choose(device, dtype), limit, request.recipe)


def _plan(request: "Request", release: "Release", device: str, dtype: str) -> dict[str, Any]:
    """What would run, for --dry-run."""
    from genstudio.request import spec

    rows = {i: wanted for i, wanted in enumerate(request.pictures) if request.kept(i)}
    run = spec(request, rows, min(request.batch, len(request.pictures)), {})
    chosen = {"selection": asdict(request.selection)} if request.selection else {}
    return {**run, **chosen, "title": release.title, "device": device, "dtype": dtype}


def _run(
    request: "Request",
    wanted: "Outputs",
    machine: dict[str, Any],
    before: "Recorded | None",
    compile_: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Load, sample, write; what was written and how long it took."""
    from genstudio.events import Advance
    from genstudio.studio import Studio

    start = time.perf_counter()
    studio = Studio.load(request.model, **machine)
    if compile_:
        studio.compile()
    loaded = time.perf_counter()
    if before is not None:
        _warn(studio, before)
    note(f"{studio.release.name} on {studio.runtime.describe()}, {request.describe()}", quiet)
    with Meter("pictures", len(request.pictures), quiet) as meter:
        for event in studio.stream(request):
            if isinstance(event, Advance):
                meter.reach(event.batch.start + len(event.batch) * event.done / event.total)
                wanted.preview(event, request)
            else:
                wanted.save(event, request, studio.facts())
    wanted.finish(request, studio.facts())
    seconds = {"load": loaded - start, "sample": time.perf_counter() - loaded}
    return {"model": studio.release.name, **wanted.report(), "seconds": seconds}


def _warn(studio: "Studio", before: "Recorded") -> None:
    """A replay by other weights or draws goes on, but never in silence."""
    from genstudio.samplers.draws import VERSION

    changed = [name for name, digest in before.weights.items() if studio.digests.get(name) != digest]
    changed += ["the draws"] if before.draws != VERSION else []
    if changed:
        note(f"Not as when the file was made: {', '.join(changed)}. Its pixels will not come back.")


def _say(result: dict[str, Any]) -> None:
    files = [entry["file"] for entry in result["pictures"]]
    print(result["grid"] or "\n".join(files))
    count, seconds = len(files), result["seconds"]["sample"]
    print(f"{count} pictures in {seconds:.1f} s, in {Path(files[0]).parent}" if files else "No pictures.")
