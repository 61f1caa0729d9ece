"""What `sample` does between its flags and its report: a request, what can be refused early, the run.

Nothing is loaded before everything that configs, files and the tokenizer of prompts can tell was told.
"""

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from genstudio.cli.console import Meter, note
from genstudio.cli.drafting import told
from genstudio.cli.texts import check_texts
from genstudio.errors import GenstudioError
from genstudio.processes import Processes
from genstudio.samplers.accelerators import check_companions

if TYPE_CHECKING:
    from genstudio.cli.outputs import Outputs
    from genstudio.edit import Edit
    from genstudio.files import Source
    from genstudio.media.animation import Format
    from genstudio.releases.release import Release
    from genstudio.request import Recorded, Request

BATCH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The flags of a run: `fields` are of the recipe, `choosing` of a selection, `editing` of an edit,
    `texts` of the prompts, `machine` of the studio."""

    model: str | None
    classes: str | None
    num: int | None
    seed: str
    source: Path | None
    fields: dict[str, Any]
    choosing: dict[str, Any]
    editing: dict[str, Any]
    texts: dict[str, Any]
    accel: list[str]
    machine: dict[str, Any]
    batch: int | None
    max_memory: str | None
    compile: bool


class Planned(NamedTuple):
    """What will run; `before` is what a replayed file was made with, whose number type `dtype` is."""

    request: "Request"
    release: "Release"
    dtype: str
    before: "Recorded | None" = None


class Showing(NamedTuple):
    """What a run leaves behind, and what is seen meanwhile."""

    folder: Path
    grid: bool | None
    captions: bool
    previews: list[str]
    animate: "Format | None"
    overlay: Path | None = None

    def outputs(self, release: "Release", quiet: bool, processes: Processes) -> "Outputs":
        """Opened for the pictures of a release."""
        from genstudio.cli.outputs import Outputs, watched

        folders, screen = watched(self.previews, quiet, processes)
        return Outputs(
            folder=self.folder / release.name,
            with_grid=self.grid,
            captions=self.captions,
            previews=folders,
            animate=self.animate,
            overlay=self.overlay,
            screen=screen,
        )


def run(asked: Asked, showing: Showing, dry: bool, quiet: bool, processes: Processes) -> dict[str, Any]:
    """Everything that the command reports: what was written, or, for a `dry` run, what would run."""
    planned = _new(asked) if asked.source is None else _replayed(asked, asked.source)
    if showing.overlay is not None and not planned.request.accelerators:
        raise GenstudioError("--overlay shows drafts, and nobody drafts.", "Give --accel too.")
    if asked.max_memory is not None or not dry:
        planned = _fitted(asked, planned, quiet)
    if dry:
        return _as_data(asked, planned)
    check_companions(planned.request.accelerators)
    if planned.request.features is None and planned.request.texts:
        check_texts(planned.release, planned.request.texts, quiet)
    result = _made(asked, planned, showing.outputs(planned.release, quiet, processes), quiet, processes)
    processes.leave()
    return result


def say(result: dict[str, Any]) -> None:
    """The report for people."""
    files = [entry["file"] for entry in result["pictures"]]
    print(result["grid"] or "\n".join(files))
    moving = [entry["animation"] for entry in result["pictures"] if "animation" in entry]
    if moving:
        print(result.get("grid_animation") or "\n".join(moving))
    count, seconds = len(files), result["seconds"]["sample"]
    print(f"{count} pictures in {seconds:.1f} s, in {Path(files[0]).parent}" if files else "No pictures.")
    if drafting := result.get("drafting"):
        print(f"{drafting['accelerators']}: {told(drafting)}{_compared(drafting.get('speed'))}")


def _new(asked: Asked) -> Planned:
    from genstudio.edit import choose_edit
    from genstudio.releases import catalogue
    from genstudio.request import Request, choose_pictures
    from genstudio.samplers.accelerators import choose_accelerators
    from genstudio.selection import choose_selection
    from genstudio.text.prompts import choose_prompts

    release = catalogue.find(asked.model) if asked.model else catalogue.default()
    count = release.generator.classes
    edit = choose_edit(release, **asked.editing)
    texts = choose_prompts(release, **asked.texts, classes=asked.classes)
    labels = _labels(asked.classes, release, count, edited=edit is not None)
    # A folder is stored whole, so that --from finds it from anywhere.
    known = asked.model is None or asked.model in catalogue.names()
    recipe = release.override(**asked.fields)
    request = Request(
        model=release.name if known else str(release.folder),
        pictures=choose_pictures(texts.prompts if texts else labels, asked.num, asked.seed, count),
        recipe=recipe,
        batch=asked.batch or BATCH,
        selection=choose_selection(release, **asked.choosing),
        edit=edit,
        negative=texts.negative if texts else None,
        features=texts.features if texts else None,
        accelerators=choose_accelerators(release, asked.accel, recipe),
    )
    return Planned(request, release, asked.machine["dtype"])


def _labels(
    classes: str | None, release: "Release", count: int, edited: bool
) -> "tuple[int | None, ...] | None":
    from genstudio.data.labels import names_of, parse_classes

    if classes:
        return parse_classes(classes, names_of(release.classes, count))
    return (None,) if edited else None


def _replayed(asked: Asked, source: Path) -> Planned:
    """What a PNG of ours holds, with single recipe fields replaced, and what it was made with."""
    from genstudio.media.png import read_spec
    from genstudio.releases import catalogue
    from genstudio.request import from_spec, recorded
    from genstudio.samplers.accelerators import choose_accelerators, describe

    _refuse_with_source(asked)
    data = read_spec(source)
    request = from_spec(data)
    release = catalogue.find(request.model)
    accel = asked.accel or [*map(describe, request.accelerators)]
    recipe = request.recipe.override(**asked.fields)
    request = replace(
        request,
        recipe=recipe,
        batch=asked.batch or request.batch,
        edit=_moved_edit(request, asked, source),
        features=_moved_features(request, asked, source),
        accelerators=choose_accelerators(release, accel, recipe),
    )
    before, dtype = recorded(data), asked.machine["dtype"]
    return Planned(request, release, before.dtype if dtype == "auto" else dtype, before)


def _refuse_with_source(asked: Asked) -> None:
    """A replay takes fields of the recipe, outputs, and where files of an edit or of features lie now."""
    texts, editing = asked.texts, asked.editing
    given = {
        "model": asked.model,
        "classes": asked.classes,
        "prompt": texts["prompts"] or texts["file"],
        "negative": texts["negative"],
        "num": asked.num,
        "candidate": asked.choosing != {"best_of": 1, "accept": None, "judge": None} or None,
        "outside": editing["outside"] or None,
        "paste": editing["paste"] or None,
    }
    for name, value in given.items():
        if value not in (None, ()):
            raise GenstudioError(
                f"--from already says the {name}.", "Give recipe fields and outputs alone beside --from."
            )


def _moved_edit(request: "Request", asked: Asked, source: Path) -> "Edit | None":
    image, mask = asked.editing["image"], asked.editing["mask"]
    if request.edit is not None:
        edit = request.edit.moved(image, mask)
        edit.check()
        return edit
    if image is not None or mask is not None:
        raise GenstudioError(f"{source} is no edit.", "Leave --image and --mask away, or leave --from away.")
    return None


def _moved_features(request: "Request", asked: Asked, source: Path) -> "Source | None":
    path = asked.texts["features"]
    if path is None:
        return request.features
    if request.features is None:
        raise GenstudioError(f"{source} was made without a features file.", "Leave --features away.")
    moved = replace(request.features, path=str(path.resolve()))
    moved.found("Say where it is: --features FILE.")
    return moved


def _fitted(asked: Asked, planned: Planned, quiet: bool) -> Planned:
    """The same in batches that fit; what does not fit is refused before anything is loaded."""
    from genstudio.measure.budget import check_memory, fitting_batch, parse_size
    from genstudio.runtime import Runtime

    request, release = planned.request, planned.release
    limit = parse_size(asked.max_memory) if asked.max_memory else None
    together = min(request.batch, len(request.pictures))
    runtime = Runtime.choose(asked.machine["device"], planned.dtype)
    made: dict[str, Any] = {"recipe": request.recipe, "accelerators": request.accelerators}
    if limit is None or asked.batch is not None:
        check_memory(release, together, runtime, limit, **made)
        return planned
    fitting = fitting_batch(release, together, runtime, limit, **made)
    if fitting == together:
        return planned
    words = f"{fitting} pictures at a time, not {together}; no more than last bits can differ"
    note(f"{asked.max_memory}: {words}", quiet)
    return planned._replace(request=replace(request, batch=fitting))


def _as_data(asked: Asked, planned: Planned) -> dict[str, Any]:
    """What would run, for --dry-run."""
    from genstudio.request import spec

    request = planned.request
    rows = {i: wanted for i, wanted in enumerate(request.pictures) if request.kept(i)}
    run = spec(request, rows, min(request.batch, len(request.pictures)), {})
    chosen = {"selection": asdict(request.selection)} if request.selection else {}
    machine = {"device": asked.machine["device"], "dtype": planned.dtype}
    return {**run, **chosen, "title": planned.release.title, **machine}


def _made(
    asked: Asked, planned: Planned, wanted: "Outputs", quiet: bool, processes: Processes
) -> dict[str, Any]:
    """Load, sample, write; what was written, by all processes, and how long it took."""
    from genstudio import backoff
    from genstudio.events import Advance
    from genstudio.measure.pace import Watch
    from genstudio.releases.pairing import pixels_of
    from genstudio.studio import Studio

    request, start = planned.request, time.perf_counter()
    studio = Studio.load(request.model, **{**asked.machine, "dtype": planned.dtype})
    if asked.compile:
        studio.compile()
    loaded = time.perf_counter()
    note(f"{studio.release.name} on {studio.runtime.describe()}, {request.describe()}", quiet)
    if request.edit:
        note(request.edit.explain(pixels_of(studio.release)), quiet)
    watch, facts = Watch(), partial(studio.facts, request)
    bar = Meter("pictures", len(request.pictures), quiet or wanted.screen is not None)
    with wanted.screen or nullcontext(), bar as meter:
        for event in backoff.stream(studio, request, lambda text: wanted.say(text, quiet), processes):
            if isinstance(event, Advance):
                watch.hear(event)
                done = event.batch.start + len(event.batch) * event.done / event.total
                meter.reach(done, told(event.stats))
                wanted.advance(event, request, meter.line())
            else:
                wanted.save(event, request, facts())
        wanted.gather(processes)
        wanted.finish(request, facts(), meter.line())
    if planned.before is not None and processes.first:
        _warn(facts(), planned.before)
    seconds = {"load": loaded - start, "sample": time.perf_counter() - loaded}
    pace = watch.pace(studio, request) if request.accelerators else None
    return {"model": studio.release.name, **wanted.report(request, pace), "seconds": seconds}


def _compared(speed: float | None) -> str:
    """What was measured beside plain passes; where the accelerator loses, that is said."""
    if speed is None:
        return ""
    if speed < 1:
        return f"; slower here: plain decoding would be {1 / speed:.2f} x as fast"
    return f"; {speed:.2f} x as fast as plain decoding here"


def _warn(facts: dict[str, Any], before: "Recorded") -> None:
    """A replay by other weights or draws is made, but never in silence."""
    changed = [name for name, digest in before.weights.items() if facts["weights"].get(name) != digest]
    changed += ["the draws"] if before.draws != facts["draws"] else []
    if changed:
        note(f"Not as when the file was made: {', '.join(changed)}. Its pixels did not come back.")
