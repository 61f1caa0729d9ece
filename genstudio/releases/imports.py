"""An official file becomes one safetensors file under our names, in the cache of imported weights.

Strict: every tensor is used, or checked against the architecture, or named as dropped. The file keeps the
release, the name and the hash of what it was made from. A published hash is compared; where there is none,
the first hash seen under a file name is recorded and later ones are compared with it.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from genstudio import registry
from genstudio.errors import Exit, GenstudioError
from genstudio.files import digest
from genstudio.releases import records, weights
from genstudio.releases.catalogue import OFFICIAL
from genstudio.releases.pickles import parts_of, read_official
from genstudio.releases.places import expected
from genstudio.releases.release import Release
from genstudio.releases.rename import Converted, UnfitError, from_official
from genstudio.releases.sightings import identify, names_of
from genstudio.releases.tables import table_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an import did. `hash` says whether the hash was published, recorded now, or as recorded before;
    `alike` are releases that the file would fit as well: nothing in it tells which it is."""

    release: str
    path: str
    sha256: str
    hash: str
    tensors: int
    parameters: int
    checked: tuple[str, ...]
    dropped: tuple[str, ...]
    alike: tuple[str, ...] = ()


def import_file(
    path: Path, release: Release, *, sha256: str | None = None, revision: str | None = None
) -> Report:
    """Convert `path` (.pth, .pt, .safetensors, an index of these) as `release` and store it.

    Tensors stay mapped to the file and are written one by one: memory holds one of them at a time, but for
    torch files of before 1.6, which can only be read whole. `sha256` is given where it is known already,
    `revision` where the user chose one of the hub's.

    Raises GenstudioError (exit code 3) for a damaged or unfit file and one that is called as another
    release's, exit code 5 for a hash that differs, exit code 2 for a release whose weights lie in a folder of
    their own.
    """
    if release.folder is not None:
        hint = "Name a release that others published: genstudio models."
        raise GenstudioError(f"{release.name} has its weights already, in {release.folder}.", hint)
    official = read_official(path, release.packing)
    converted = convert(official, release, path)
    alike = _alike(official, release, path)
    sha256 = sha256 or digest(*parts_of(path))
    verdict = _check_hash(path, release, sha256, revision)
    target = expected(release)
    weights.write(target, converted.tensors, release, origin=weights.Origin(path.name, sha256))
    records.record(str(target), digest(target))
    return Report(
        release=release.name,
        path=str(target),
        sha256=sha256,
        hash=verdict,
        tensors=len(converted.tensors),
        parameters=sum(tensor.numel() for tensor in converted.tensors.values()),
        checked=converted.checked,
        dropped=converted.dropped,
        alike=alike,
    )


def convert(official: dict[str, Tensor], release: Release, path: Path) -> Converted:
    """Official tensors under our names; an unfit file raises an error that says what it looks like."""
    try:
        return from_official(official, table_for(release.config), registry.shapes(release.config))
    except UnfitError as error:
        raise _diagnosed(error, official, release, path) from error


def _diagnosed(
    error: UnfitError, official: dict[str, Tensor], release: Release, path: Path
) -> GenstudioError:
    sighting = identify(official)
    if sighting is None:
        message, hint = (
            f"{path} does not fit {release.name}: {error.misfit}.",
            "It is of a model unknown here.",
        )
    elif sighting.fits(release):
        message = f"{path} looks like {release.name}, but does not fit: {error.misfit}."
        hint = "Download the file again, from the source that `genstudio models show` names."
    elif names := names_of(sighting, OFFICIAL.values()):
        message = f"{path} looks like {' or '.join(names)}; you asked for {release.name}."
        called = next((name for name in names if _file_name(name) == path.name), names[0])
        hint = f"Run: genstudio models import {path} --as {called}"
    else:
        message = f"{path} looks like {sighting}; you asked for {release.name}."
        hint = "No release in the catalogue has these numbers: see `genstudio models`."
    return GenstudioError(message, hint, Exit.WEIGHTS)


def _alike(official: dict[str, Tensor], release: Release, path: Path) -> tuple[str, ...]:
    """Other releases with the same shapes. Raises GenstudioError (exit code 3) for the file name of one, but
    where it is the name of this one too."""
    sighting = identify(official)
    if sighting is None or not sighting.fits(release):
        return ()
    others = tuple(name for name in names_of(sighting, OFFICIAL.values()) if name != release.name)
    for name in others:
        if path.name == _file_name(name) != _file_name(release.name):
            raise GenstudioError(
                f"{path} is called as the file of {name}; you asked for {release.name}. "
                "Both hold tensors of the same shapes, so that the name alone tells.",
                f"Run: genstudio models import {path} --as {name}; or rename the file.",
                Exit.WEIGHTS,
            )
    return others


def _file_name(release: str) -> str | None:
    known = OFFICIAL.get(release)
    return known.file.name if known and known.file else None


def _check_hash(path: Path, release: Release, sha256: str, revision: str | None) -> str:
    """How the hash of an official file stands. Raises GenstudioError (exit code 5) if it is another one."""
    if release.file is None or path.name != release.file.name:
        return "not compared: the file has another name than the official one"
    if verdict := records.compare(release.file, sha256, revision):
        return verdict
    records.record(records.name_of(release.file, revision), sha256)
    return "seen for the first time and recorded"
