"""Where the weights of a release lie on this machine. No torch: listing models asks for it."""

from pathlib import Path
from typing import Final, Literal

from genstudio.errors import Exit, GenstudioError
from genstudio.files import home
from genstudio.releases.catalogue import bundled_root
from genstudio.releases.release import Release

MODEL: Final = "model.safetensors"

Place = Literal["bundled", "folder", "imported", "missing"]


def resolve(release: Release) -> Path:
    """The file of weights. Raises GenstudioError (exit code 3), with size and remedy, if it is missing."""
    path = expected(release)
    if path.is_file():
        return path
    size = f" ({size_text(release.file.size)})" if release.file and release.file.size else ""
    raise GenstudioError(f"{release.name} is not on this machine{size}.", _remedy(release), Exit.WEIGHTS)


def expected(release: Release) -> Path:
    """Where the file of weights belongs: beside its release.json, else in the cache of imported weights."""
    folder = Path(release.folder) if release.folder else home() / "models" / release.name
    return folder / MODEL


def place(release: Release) -> Place:
    """How a release comes to be here, if it is."""
    if not expected(release).is_file():
        return "missing"
    if release.folder is None:
        return "imported"
    return "bundled" if Path(release.folder).parent == bundled_root() else "folder"


def size_text(count: int) -> str:
    """Bytes for people: "8.0 GB", "2.6 MB", "30.0 kB"."""
    unit, divisor = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6) if count >= 1e6 else ("kB", 1e3)
    return f"{count / divisor:.1f} {unit}"


def _remedy(release: Release) -> str:
    if release.file is None:
        return f"Its weights belong at {expected(release)}."
    name = release.file.name
    return (
        f"Run: genstudio models pull {release.name}; or get {name} from {release.file.hub} and run: "
        f"genstudio models import {name} --as {release.name}"
    )
