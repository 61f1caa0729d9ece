"""`genstudio info FILE`: how a picture was made, or what a file of weights holds.

Pictures and safetensors files are read without torch; torch files and foreign safetensors are opened (never
run) to say which network they look like.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from genstudio.cli.console import emit
from genstudio.cli.options import Json
from genstudio.cli.table import show_facts
from genstudio.errors import GenstudioError

File = Annotated[Path, typer.Argument(help="A PNG from genstudio, a .safetensors or a .pth file.")]

PNG = b"\x89PNG"


def info(file: File, json_: Json = False) -> None:
    """Say how a picture was made, or what a file of weights holds.

    genstudio info out/var-fashion/008-000003.png

    genstudio info var_d16.pth --json
    """
    found = _found(file)
    if json_:
        emit(found)
    else:
        show_facts({name: _text(value) for name, value in _flat(found).items()})


def _found(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            head = opened.read(9)
    except OSError as error:
        hint = "Check the path; for a folder use `genstudio models show FOLDER`."
        raise GenstudioError(f"{file} cannot be read: {error.strerror}.", hint) from error
    if head.startswith(PNG):
        from genstudio.media.png import read_spec

        return {"file": str(file), "picture": read_spec(file)}
    if head[8:9] == b"{" or file.suffix == ".safetensors":
        return _safetensors(file)
    return {"file": str(file), "format": "torch", **_official(file)}


def _safetensors(file: Path) -> dict[str, Any]:
    from genstudio.releases.header import read_header

    header = read_header(file)
    dtypes = Counter(entry.dtype for entry in header.tensors.values())
    found = {
        "file": str(file),
        "format": "safetensors",
        "bytes": header.size,
        "tensors": len(header.tensors),
        "numbers": sum(entry.count for entry in header.tensors.values()),
        "dtypes": dict(dtypes),
    }
    return found | (_counted(header.studio) or _official(file))


def _counted(written: dict[str, Any]) -> dict[str, Any]:
    """Of the prompts of a features file, which may be many, how many there are."""
    features = written.get("features")
    return {**written, "features": {**features, "prompts": len(features["prompts"])}} if features else written


def _official(file: Path) -> dict[str, Any]:
    """What a file that genstudio did not write looks like."""
    from genstudio.releases.catalogue import OFFICIAL
    from genstudio.releases.pickles import read_official
    from genstudio.releases.release import Packing
    from genstudio.releases.sightings import identify, names_of

    known = (release.packing for release in OFFICIAL.values())
    unwrap = tuple({keys: None for packing in known for keys in packing.unwrap})
    inert = tuple({name: None for release in OFFICIAL.values() for name in release.packing.inert})
    tensors = read_official(file, Packing(unwrap=unwrap, inert=inert))
    sighting = identify(tensors)
    return {
        "tensors": len(tensors),
        "numbers": sum(tensor.numel() for tensor in tensors.values()),
        "looks_like": str(sighting) if sighting else "nothing that genstudio knows",
        "releases": list(names_of(sighting, OFFICIAL.values())) if sighting else [],
    }


def _flat(found: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts under dotted names, empty ones left out."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value not in (None, [], "", ()):
            flat[prefix + name] = value
    return flat


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
