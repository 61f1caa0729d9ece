"""Every release by name: official ones as values, bundled and user-trained ones as folders.

A folder release is `release.json` beside `model.safetensors`. Folders are looked for among the checkpoints
that ship with the program and in the cache (`files.home()/models`); any other folder is named by its path. An
official name always means the official release. No torch here.
"""

import difflib
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from genstudio.errors import Exit, GenstudioError
from genstudio.files import home
from genstudio.releases import (
    official_lantern,
    official_llamagen,
    official_mar,
    official_nar,
    official_students,
    official_var,
)
from genstudio.releases.release import Companions, Release, from_json

DEFAULT: Final = "var-fashion"
RELEASE: Final = "release.json"

OFFICIAL: Final = {
    one.name: one
    for one in (
        *official_var.GENERATORS,
        official_var.TOKENIZER,
        *official_llamagen.GENERATORS,
        *official_llamagen.TOKENIZERS,
        *official_nar.GENERATORS,
        *official_students.GENERATORS,
        *official_lantern.DRAFTERS,
        *official_mar.GENERATORS,
        official_mar.TOKENIZER,
    )
}


def find(name: str) -> Release:
    """The release of that name, or the one in the folder of that path.

    Raises GenstudioError for an unknown name (with the nearest ones) or a release.json that cannot be read.
    """
    if name in OFFICIAL:
        return OFFICIAL[name]
    for folder in _folders():
        if folder.name == name:
            return read_folder(folder)
    if Path(name).is_dir():
        return read_folder(Path(name))
    raise _unknown(name)


def default() -> Release:
    """What `genstudio sample` takes when nothing is said."""
    return find(DEFAULT)


def every() -> list[Release]:
    """Bundled and cached folders first, then the official releases."""
    folders = [read_folder(folder) for folder in _folders() if folder.name not in OFFICIAL]
    return [*folders, *OFFICIAL.values()]


def names() -> list[str]:
    """All names, without reading a folder's release.json: for suggestions and shell completion."""
    return list(dict.fromkeys([*(folder.name for folder in _folders()), *OFFICIAL]))


def read_folder(folder: Path) -> Release:
    """The release in a folder; a `tokenizer` or companion that is a path in or beside it becomes absolute.

    Raises GenstudioError (exit code 3) where there is no readable release.json.
    """
    path = folder / RELEASE
    try:
        release = from_json(path.read_bytes(), str(folder.resolve()))
    except OSError as error:
        hint = "Give a folder that `genstudio train` wrote, or a name from `genstudio models`."
        raise GenstudioError(f"{folder} holds no {RELEASE}.", hint, Exit.WEIGHTS) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise GenstudioError(
            f"{path} is no release: {place}: {first['msg']}.", "Correct or remove it.", Exit.WEIGHTS
        ) from error
    beside = {name: _beside(folder, value) for name, value in asdict(release.companions).items()}
    tokenizer = _beside(folder, release.tokenizer)
    if (distilled := release.distilled) is not None:
        teacher = _beside(folder, distilled.teacher) or distilled.teacher
        distilled = replace(distilled, teacher=teacher)
    return replace(release, tokenizer=tokenizer, companions=Companions(**beside), distilled=distilled)


def _beside(folder: Path, name: str | None) -> str | None:
    """A name, or the absolute path of the folder that it leads to from that of the release."""
    return str((folder / name).resolve()) if name and (folder / name / RELEASE).is_file() else name


def bundled_root() -> Path | None:
    """The folder of checkpoints that ship with the program; None where they were left out."""
    spec = find_spec("genstudio_checkpoints")
    roots = spec.submodule_search_locations if spec else None
    return next((Path(root) for root in roots or () if Path(root).is_dir()), None)


def _folders() -> Iterator[Path]:
    for root in (bundled_root(), home() / "models"):
        if root is not None and root.is_dir():
            yield from sorted(folder for folder in root.iterdir() if (folder / RELEASE).is_file())


def _unknown(name: str) -> GenstudioError:
    near = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return GenstudioError(f"There is no model {name!r}.", f"{hint}`genstudio models` lists all.")
