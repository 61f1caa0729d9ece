"""`genstudio models`: list all releases, show one, pull or import an official file, verify what lies here.

Listing and showing need no torch. Errors are raised; `main` prints them.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.complete import model_names, official_names
from genstudio.cli.console import emit
from genstudio.cli.options import Device, Json
from genstudio.cli.pull import pull, say_imported
from genstudio.cli.table import show_facts, show_table
from genstudio.errors import Exit

if TYPE_CHECKING:
    from genstudio.releases.release import Release
    from genstudio.samplers.accelerators import Accelerator

models = typer.Typer(help="Released models: list, show, pull, import, verify.", rich_markup_mode=None)
models.command()(pull)

Name = Annotated[
    str, typer.Argument(help="A name from `genstudio models`, or a folder.", autocompletion=model_names)
]
OfficialFile = Annotated[
    Path, typer.Argument(help="Official weights: .pth, .pt, .safetensors, or an index of several such files.")
]
As = Annotated[
    str,
    typer.Option(
        "--as", help="The release that the file holds, e.g. var-d16.", autocompletion=official_names
    ),
]

ByAccelerator = Annotated[
    bool, typer.Option("--accel", help="Which accelerator takes which model, and its promise.")
]


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, accel: ByAccelerator = False, json_: Json = False) -> None:
    """List all models (the default), show one, get official weights, verify what is here.

    genstudio models

    genstudio models pull var-d16

    genstudio models import var_d16.pth --as var-d16
    """
    if context.invoked_subcommand is not None:
        return None
    from genstudio.releases.catalogue import every

    releases = every()
    if accel:
        return _list_accelerated([release for release in releases if release.tokenizer], json_)
    if json_:
        emit({"models": [_listed(release) for release in releases]})
    else:
        show_table(("NAME", "WHAT", "SIZE", "HERE", "REPORTED"), [_row(release) for release in releases])
    return None


@models.command()
def show(name: Name, json_: Json = False) -> None:
    """Say everything that is known about one model.

    genstudio models show var-d30

    genstudio models show runs/mine --json
    """
    from genstudio.releases.catalogue import find

    release = find(name)
    if json_:
        emit({**_listed(release), "release": _as_data(release)})
    else:
        show_facts(_facts(release))


@models.command("import")
def import_(file: OfficialFile, release: As, json_: Json = False) -> None:
    """Convert an official file once and keep it as safetensors; nothing in it is run.

    genstudio models import var_d16.pth --as var-d16

    genstudio models import vae_ch160v4096z32.pth --as var-vqvae
    """
    from genstudio.releases.catalogue import find
    from genstudio.releases.imports import import_file

    report = import_file(file, find(release))
    if json_:
        return emit(asdict(report))
    say_imported(report)
    return None


@models.command()
def verify(name: Name, device: Device = "auto", json_: Json = False) -> int:
    """Check the weights on this machine: hash, tensors, a picture through the networks.

    genstudio models verify var-fashion

    genstudio models verify var-d16 --device cuda
    """
    from genstudio.releases.catalogue import find
    from genstudio.releases.pairing import tokenizer_of
    from genstudio.releases.verify import verify_release
    from genstudio.runtime import Runtime

    release = find(name)
    tokenizer = tokenizer_of(release) if release.tokenizer else None
    checks = verify_release(release, tokenizer, Runtime.choose(device))
    fine = all(check.ok for check in checks)
    if json_:
        emit({"model": release.name, "ok": fine, "checks": [asdict(check) for check in checks]})
    else:
        show_table(("CHECK", "", "WHAT WAS FOUND"), [_verdict(check) for check in checks])
    return int(Exit.OK if fine else Exit.CHECK)


def _list_accelerated(releases: "list[Release]", json_: bool) -> None:
    """What each accelerator promises by each model's own recipe, or why it does not take it."""
    from genstudio.samplers.accelerators import every

    accelerators = every()
    if json_:
        return emit({"accelerators": [_taken(one, releases) for one in accelerators]})
    columns = ("MODEL", *(one.name for one in accelerators))
    show_table(
        columns, [(release.name, *(_word(one, release) for one in accelerators)) for release in releases]
    )
    for one in accelerators:
        print(f"{one.name}: {one.summary}")
    return None


def _word(accelerator: "Accelerator", release: "Release") -> str:
    return "" if accelerator.refusal(release, ()) else accelerator.label(release.recipe).label


def _taken(accelerator: "Accelerator", releases: "list[Release]") -> dict[str, Any]:
    from genstudio.samplers.accelerators import settings_of

    found: dict[str, dict[str, str | None]] = {}
    for release in releases:
        why = accelerator.refusal(release, ())
        found[release.name] = {
            "exactness": None if why else accelerator.label(release.recipe).label,
            "refusal": why,
        }
    return {
        "name": accelerator.name,
        "site": accelerator.site,
        "summary": accelerator.summary,
        "settings": settings_of(accelerator),
        "beside": sorted(accelerator.beside),
        "models": found,
    }


def _verdict(check: Any) -> tuple[str, str, str]:
    return check.name, "ok" if check.ok else "FAILED", check.found


def _row(release: "Release") -> tuple[str, str, str, str, str]:
    from genstudio.releases.places import place

    here = place(release)
    scores = ", ".join(f"{score.metric} {score.value:g}" for score in release.reported)
    return release.name, release.title, _size(release), "no" if here == "missing" else here, scores


def _size(release: "Release") -> str:
    from genstudio.releases.places import expected, size_text

    path = expected(release)
    if path.is_file():
        return size_text(path.stat().st_size)
    return size_text(release.file.size) if release.file and release.file.size else ""


def _listed(release: "Release") -> dict[str, Any]:
    from genstudio.releases.places import expected, place

    path = expected(release)
    published = release.file.size if release.file else None
    return {
        "name": release.name,
        "title": release.title,
        "method": release.method,
        "place": place(release),
        "path": str(path),
        "bytes": path.stat().st_size if path.is_file() else published,
        "tokenizer": release.tokenizer,
        "licence": release.licence,
        "reported": [asdict(score) for score in release.reported],
    }


def _facts(release: "Release") -> dict[str, str]:
    from genstudio.releases.places import expected, place

    numbers = asdict(release.config).items()
    config = {name: value for name, value in numbers if name != "kind" and value is not None}
    classes = release.classes if isinstance(release.classes, str) else ", ".join(release.classes or ())
    facts: dict[str, str | None] = {
        "name": release.name,
        "what": release.title,
        "here": f"{place(release)}: {expected(release)}",
        "size": _size(release),
        "method": release.method,
        "numbers": ", ".join(f"{name} {_short(value)}" for name, value in config.items()),
        "tokenizer": release.tokenizer,
        "text": _text(release),
        "companions": _companions(release),
        "teacher": _teacher(release),
        "classes": classes,
        "recipe": release.recipe.describe() if release.tokenizer else None,
        "protocol": _protocol(release),
        "reported": "; ".join(f"{one.metric} {one.value:g} ({one.source})" for one in release.reported),
        "file": f"{release.file.name} from {release.file.hub}" if release.file else None,
        "sha256": release.sha256 or (release.file.sha256 if release.file else None),
        "trained": _trained(release),
        "licence": release.licence or "not stated",
        "source": release.source,
    }
    return {name: value for name, value in facts.items() if value}


def _text(release: "Release") -> str | None:
    if (caption := release.caption) is None:
        return None
    part = release.text
    read = f"{part.encoder}, cleaned by {part.cleaning}" if part else "features of a file"
    return f"{read}, {caption.slots} tokens of {caption.width}"


def _companions(release: "Release") -> str:
    named = asdict(release.companions).items()
    return ", ".join(f"{role} {name}" for role, name in named if name)


def _teacher(release: "Release") -> str | None:
    if (distilled := release.distilled) is None:
        return None
    known = {"weights": distilled.sha256, "lessons": distilled.lessons}
    hashes = ", ".join(f"{name} {digest[:12]}" for name, digest in known.items() if digest)
    return f"{distilled.teacher} ({hashes})" if hashes else distilled.teacher


def _protocol(release: "Release") -> str | None:
    protocol = release.protocol
    if protocol is None:
        return None
    features = f"{' '.join(protocol.metrics)} in {protocol.extractor} against {protocol.reference}"
    size = f", resized to {protocol.side} px" if protocol.side else ""
    samples = f"{protocol.samples:,} samples, {protocol.labels} labels{size}"
    return f"{samples}, {features}, as {protocol.suite} counts"


def _trained(release: "Release") -> str | None:
    if (trained := release.trained) is None:
        return None
    cost = f"{trained.pictures:,} pictures seen, {trained.minutes:g} minutes"
    return f"{cost}, {trained.device} ({trained.recipe})"


def _short(value: object) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {one}' for name, one in value.items())})"
    if isinstance(value, tuple | list):
        return "-".join(one["name"] if isinstance(one, dict) else str(one) for one in value) or "none"
    return str(value)


def _as_data(release: "Release") -> dict[str, Any]:
    from genstudio.releases.release import to_json

    data: dict[str, Any] = json.loads(to_json(release))
    return data
