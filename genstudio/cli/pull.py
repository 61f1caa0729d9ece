"""`genstudio models pull`: get official weights from the hub, or from its cache, and import them.

Sizes are told before anything is downloaded; what is here is not asked for; a cut download is gone on with.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.complete import official_names
from genstudio.cli.console import Meter, emit, note
from genstudio.cli.options import Json, Quiet

if TYPE_CHECKING:
    from genstudio.releases.imports import Report
    from genstudio.releases.pull import Pulled, Step

MB = 1e6

Name = Annotated[str, typer.Argument(help="A published model, e.g. var-d16.", autocompletion=official_names)]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of the model's file [default: main].")
]


def pull(name: Name, revision: Revision = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Get a published model and its tokenizer from the hub, once.

    genstudio models pull var-d16

    HF_HUB_OFFLINE=1 genstudio models pull var-d16

    HF_HOME (its cache), HF_TOKEN, HF_ENDPOINT (a mirror) and HF_HUB_OFFLINE are heeded.
    """
    from genstudio.releases.catalogue import find
    from genstudio.releases.pull import check_space, plan

    quiet = quiet or json_
    _hush(quiet)
    release = find(name)
    steps = plan(release, revision)
    for step in steps:
        note(_announced(step), quiet)
    check_space(steps)
    pulled = [_carried_out(step, quiet) for step in steps]
    if json_:
        return emit({"model": release.name, "parts": [_as_data(one) for one in pulled]})
    for one in pulled:
        _say(one)
    return None


def say_imported(report: "Report") -> None:
    """What an import did, for people."""
    print(f"{report.release}: {report.tensors} tensors, {report.parameters:,} parameters, in {report.path}")
    print(f"sha256 {report.sha256}, {report.hash}")
    print(f"Buffers as they must be: {len(report.checked)}; dropped: {', '.join(report.dropped) or 'none'}")
    if report.alike:
        print(f"Taken as {report.release} on your word: the file would fit {' and '.join(report.alike)} too")


def _hush(quiet: bool) -> None:
    """Our meter stands in for the library's bar; that a cut connection is taken up again, it may say."""
    from huggingface_hub import logging
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars("huggingface_hub.http_get")
    if quiet:
        logging.set_verbosity(logging.ERROR)


def _announced(step: "Step") -> str:
    from genstudio.releases.hub import Offer
    from genstudio.releases.places import size_text

    if step.source is None:
        return f"{step.release.name}: here already"
    if not isinstance(step.source, Offer):
        return f"{step.release.name}: to be imported from {step.source}"
    there = f", {size_text(step.source.there)} of it are here" if step.source.there else ""
    return f"{step.release.name}: {step.source.wanted}, {size_text(step.source.size)}{there}"


def _carried_out(step: "Step", quiet: bool) -> "Pulled":
    from genstudio.releases.pull import carry_out

    there = step.written - step.download
    with Meter(step.release.name, round(step.written / MB), quiet or not step.download, unit="MB") as meter:
        meter.skip(there / MB)
        return carry_out(step, lambda count: meter.reach(count / MB), lambda text: note(text, quiet))


def _as_data(pulled: "Pulled") -> dict[str, Any]:
    return {**asdict(pulled), "path": str(pulled.path)}


def _say(pulled: "Pulled") -> None:
    if pulled.imported is None:
        print(f"{pulled.release}: here already, {pulled.path}")
    else:
        say_imported(pulled.imported)
