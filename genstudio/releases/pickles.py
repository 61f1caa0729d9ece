"""Official files to a flat table of tensors: torch pickles without running anything in them, or safetensors.

Pickles are programs. They are read by torch's restricted reader; classes that a release names as inert become
empty stand-ins, whether or not they can be imported, and any other class or function refuses the file.
Tensors stay mapped to the file where its format allows, so that a large file costs little memory. A
large model comes as several safetensors files and an index of them; the index is then the file to read.
"""

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.releases.header import damaged, read_header
from genstudio.releases.release import Packing

_ZIP, _PICKLE = b"PK", b"\x80"
_INDEX = ".safetensors.index.json"


def read_official(path: Path, packing: Packing) -> dict[str, Tensor]:
    """The tensors of an official file under their official names, on the CPU.

    Raises GenstudioError (exit code 3) for a missing or damaged file, one that holds code, or one without a
    table of tensors where the release keeps it.
    """
    head = _head(path)
    if path.name.endswith(_INDEX):
        return {name: tensor for part in parts_of(path) for name, tensor in _safetensors(part).items()}
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _safetensors(path)
    if not head.startswith((_ZIP, _PICKLE)):
        raise damaged(path, "it is neither a torch file nor a safetensors file")
    return _table(_unpickled(path, head.startswith(_ZIP), packing.inert), packing, path)


def parts_of(path: Path) -> list[Path]:
    """The files that hold the tensors: those that an index names, else the file itself.

    Raises GenstudioError (exit code 3) for a damaged index, and where it and its files disagree.
    """
    if not path.name.endswith(_INDEX):
        return [path]
    try:
        named = {(str(name), path.parent / part) for name, part in _read_index(path).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, "it is no index of safetensors files") from error
    parts = sorted({part for _, part in named})
    held = {(name, part) for part in parts for name in read_header(part).tensors}
    if named != held:
        raise damaged(path, f"it and its files disagree about {min(named ^ held)[0]}")
    return parts


def _read_index(path: Path) -> dict[str, str]:
    places: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    return places


def _safetensors(path: Path) -> dict[str, Tensor]:
    read_header(path)
    return load_file(path)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        hint = "Check the path."
        raise GenstudioError(f"{path} cannot be read: {error.strerror}.", hint, Exit.WEIGHTS) from error


def _unpickled(path: Path, zipped: bool, inert: tuple[str, ...]) -> Any:
    if zipped:
        _check_archive(path)
    stubs: list[Any] = [_stub(name) for name in inert]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stubs):
            # torch warns about old pickle protocols and storages; the result is checked name by name anyway.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise _refused(path, str(error)) from error


def _check_archive(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise damaged(path, "its zip archive has no end")
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise GenstudioError(
                f"{path} is a TorchScript program, not a table of tensors.",
                "Save its state_dict() as safetensors first.",
                Exit.WEIGHTS,
            )


def _stub(name: str) -> type:
    """A class of that full name which takes any arguments and state and keeps nothing."""
    module, _, short = name.rpartition(".")
    body = {"__module__": module, "__qualname__": short}
    return type(short, (_Inert,), body)


class _Inert:
    """What stands in for an object that nobody reads."""

    def __new__(cls, *_args: Any, **_named: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_named: Any) -> None:
        """Arguments are dropped."""

    def __setstate__(self, _state: Any) -> None:
        """State is dropped."""


def _refused(path: Path, reason: str) -> GenstudioError:
    found = re.search(r"GLOBAL (\S+)|reduce for unrecognized function <[^>]*?([\w.]+)['> ]", reason)
    if found:
        return GenstudioError(
            f"{path} holds code besides tensors: {found[1] or found[2]}. Nothing of it was run.",
            "Use a file that holds tensors alone, such as safetensors.",
            Exit.WEIGHTS,
        )
    return damaged(path, reason.partition("\n")[0][:200] or "it ends too early")


def _table(whole: Any, packing: Packing, path: Path) -> dict[str, Tensor]:
    for keys in packing.unwrap:
        if (inner := _inside(whole, keys)) is not None:
            whole = inner
            break
    if not isinstance(whole, Mapping) or not all(isinstance(value, Tensor) for value in whole.values()):
        held = ", ".join(map(str, list(whole)[:5])) if isinstance(whole, Mapping) else type(whole).__name__
        raise GenstudioError(
            f"{path} holds no table of tensors where it is expected (it holds: {held}).",
            "Save the network's state_dict() alone, as safetensors or with torch.save.",
            Exit.WEIGHTS,
        )
    return {str(name): value.detach() for name, value in whole.items()}


def _inside(whole: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(whole, Mapping) or key not in whole:
            return None
        whole = whole[key]
    return whole
