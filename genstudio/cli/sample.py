"""`genstudio sample`: pictures from a model, with the published recipe unless a flag says otherwise.

Every picture is written as soon as its batch is decoded, so that an interrupted run keeps what it finished.
The PNG holds the whole run; `--from` makes the same pixels again, in a batch of the same shape.
"""

import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.complete import class_names
from genstudio.cli.console import Meter, emit, note
from genstudio.cli.options import (
    Accept,
    Animate,
    BestOf,
    Captions,
    Cfg,
    Compile,
    Device,
    Dtype,
    Edited,
    Heat,
    Json,
    Judge,
    KernelChoice,
    MaskFile,
    MaxMemory,
    Model,
    Outside,
    Paste,
    Previews,
    Quiet,
    Smooth,
    Steps,
    TopK,
    TopP,
)
from genstudio.errors import GenstudioError
from genstudio.processes import Processes

if TYPE_CHECKING:
    from genstudio.cli.outputs import Outputs
    from genstudio.releases.release import Release
    from genstudio.request import Recorded, Request
    from genstudio.studio import Studio

Classes = Annotated[
    str | None,
    typer.Option("-c", "--class", help="Ids, ranges, names: 1,3-5,bag; or none.", autocompletion=class_names),
]
Count = Annotated[int | None, typer.Option("-n", "--num", help="Pictures of each class.")]
Seed = Annotated[str, typer.Option("--seed", help="7, or a list 1,5,9, or a range 0-63.")]
Batch = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="Pictures sampled together [default: 16, or what memory allows]."),
]
BATCH = 16
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the pictures.")]
Grid = Annotated[
    bool | None, typer.Option("--grid/--no-grid", help="One picture of all [default: if several].")
]
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
    image: Edited = None,
    mask: MaskFile = None,
    outside: Outside = False,
    paste: Paste = False,
    batch: Batch = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    kernels: KernelChoice = None,
    compile_: Compile = False,
    max_memory: MaxMemory = None,
    output: Output = Path("out"),
    grid: Grid = None,
    captions: Captions = True,
    preview: Previews = None,
    animate: Animate = None,
    source: From = None,
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make pictures.

    genstudio sample var-fashion -c bag,dress -n 4 --seed 0

    genstudio sample --from out/var-fashion/008-000003.png

    genstudio sample -c shirt --image photo.png --mask sleeve.png

    torchrun --nproc-per-node 2 -m genstudio sample var-fashion -n 100
    """
    processes = Processes.of_this_run()
    silent = quiet or json_ or not processes.first
    fields = {"cfg": cfg, "top_k": top_k, "top_p": top_p, "temperature": temperature, "steps": steps}
    choosing = {"best_of": best_of, "accept": accept, "judge": judge}
    editing = {"image": image, "mask": mask, "outside": outside, "paste": paste}
    if source is not None:
        _refuse_with_source(choosing, editing, model=model, classes=classes, num=num)
        request, release, before = _replayed(source, {**fields, "smooth": smooth}, image, mask)
        request = replace(request, batch=batch or request.batch)
        dtype = before.dtype if dtype == "auto" else dtype
    else:
        before = None
        recipe = {**fields, "smooth": smooth}
        request, release = _asked(model, classes, num, seed, batch or BATCH, recipe, choosing, editing)
    if max_memory is not None or not dry_run:
        request = _fitted(request, release, device, dtype, max_memory, batch is None, silent)
    if dry_run:
        if processes.first:
            emit(_plan(request, release, device, dtype))
        return
    from genstudio.cli.outputs import Outputs, watched

    folders, screen = watched(preview or [], silent, processes)
    wanted = Outputs(
        folder=output / release.name,
        with_grid=grid,
        captions=captions,
        previews=folders,
        animate=animate,
        screen=screen,
    )
    machine = {"device": device, "dtype": dtype, "kernels": kernels}
    result = _run(request, wanted, machine, before, compile_, silent, processes)
    processes.leave()
    if processes.first:
        (emit if json_ else _say)(result)


def _asked(
    model: str | None,
    classes: str | None,
    num: int | None,
    seed: str,
    batch: int,
    fields: dict[str, Any],
    choosing: dict[str, Any],
    editing: dict[str, Any],
) -> "tuple[Request, Release]":
    """The request that the flags make."""
    from genstudio.data.labels import names_of, parse_classes
    from genstudio.edit import choose_edit
    from genstudio.releases import catalogue
    from genstudio.request import Request, choose_pictures
    from genstudio.selection import choose_selection

    release = catalogue.find(model) if model else catalogue.default()
    count = getattr(release.config, "classes", None)
    if release.tokenizer is None or count is None:
        raise GenstudioError(f"{release.name} makes no pictures.", "Choose a generator: genstudio models.")
    edit = choose_edit(release, **editing)
    labels = (
        parse_classes(classes, names_of(release.classes, count)) if classes else (None,) if edit else None
    )
    pictures = choose_pictures(labels, num, seed, count)
    recipe = release.recipe.override(**fields)
    # A folder is stored whole, so that --from finds it from anywhere.
    name = release.name if model is None or model in catalogue.names() else str(release.folder)
    selection = choose_selection(release, **choosing)
    request = Request(
        model=name, pictures=pictures, recipe=recipe, batch=batch, selection=selection, edit=edit
    )
    return request, release


def _replayed(
    source: Path, fields: dict[str, Any], image: Path | None, mask: Path | None
) -> "tuple[Request, Release, Recorded]":
    """The request that a PNG of ours holds, with single recipe fields replaced, and what it was made with."""
    from genstudio.media.png import read_spec
    from genstudio.releases import catalogue
    from genstudio.request import from_spec, recorded

    data = read_spec(source)
    request = from_spec(data)
    if request.edit is not None:
        edit = request.edit.moved(image, mask)
        edit.check()
        request = replace(request, edit=edit)
    elif image is not None or mask is not None:
        raise GenstudioError(f"{source} is no edit.", "Leave --image and --mask away, or leave --from away.")
    changed = replace(request, recipe=request.recipe.override(**fields))
    return changed, catalogue.find(request.model), recorded(data)


def _refuse_with_source(choosing: dict[str, Any], editing: dict[str, Any], **given: object) -> None:
    """A replay takes fields of the recipe, outputs, and where the files of an edit lie now."""
    chosen = choosing != {"best_of": 1, "accept": None, "judge": None}
    given |= {"candidate": chosen or None, **{name: editing[name] or None for name in ("outside", "paste")}}
    for name, value in given.items():
        if value is not None:
            raise GenstudioError(
                f"--from already says the {name}.", "Give recipe fields and outputs alone beside --from."
            )


def _fitted(
    request: "Request",
    release: "Release",
    device: str,
    dtype: str,
    max_memory: str | None,
    flexible: bool,
    quiet: bool,
) -> "Request":
    """The request in batches that fit; what does not fit is refused before anything is loaded."""
    from genstudio.measure.budget import check_memory, fitting_batch, parse_size
    from genstudio.runtime import Runtime

    limit = parse_size(max_memory) if max_memory else None
    together = min(request.batch, len(request.pictures))
    runtime = Runtime.choose(device, dtype)
    if limit is None or not flexible:
        check_memory(release, together, runtime, limit, request.recipe)
        return request
    fitting = fitting_batch(release, together, runtime, limit, request.recipe)
    if fitting == together:
        return request
    note(
        f"{max_memory}: {fitting} pictures at a time, not {together}; no more than last bits can differ",
        quiet,
    )
    return replace(request, batch=fitting)


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
    processes: Processes,
) -> dict[str, Any]:
    """Load, sample, write; what was written, by all processes, and how long it took."""
    from genstudio import backoff
    from genstudio.events import Advance
    from genstudio.studio import Studio

    start = time.perf_counter()
    studio = Studio.load(request.model, **machine)
    if compile_:
        studio.compile()
    loaded = time.perf_counter()
    if before is not None and processes.first:
        _warn(studio, before)
    note(f"{studio.release.name} on {studio.runtime.describe()}, {request.describe()}", quiet)
    if request.edit:
        note(request.edit.explain(studio.tokenizer.config.pixels), quiet)
    bar = Meter("pictures", len(request.pictures), quiet or wanted.screen is not None)
    with wanted.screen or nullcontext(), bar as meter:
        for event in backoff.stream(studio, request, lambda text: wanted.say(text, quiet), processes):
            if isinstance(event, Advance):
                meter.reach(event.batch.start + len(event.batch) * event.done / event.total)
                wanted.advance(event, request, meter.line())
            else:
                wanted.save(event, request, studio.facts())
        wanted.gather(processes)
        wanted.finish(request, studio.facts(), meter.line())
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
    moving = [entry["animation"] for entry in result["pictures"] if "animation" in entry]
    if moving:
        print(result.get("grid_animation") or "\n".join(moving))
    count, seconds = len(files), result["seconds"]["sample"]
    print(f"{count} pictures in {seconds:.1f} s, in {Path(files[0]).parent}" if files else "No pictures.")
