"""What a release needs and where it comes from: this machine, the hub's cache, or the hub.

Planned first, so that sizes are told and disks asked before anything is downloaded; nothing that is here
is asked for. What was downloaded is converted by the same strict import as a file that a user brought.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genstudio.errors import GenstudioError
from genstudio.files import free_bytes, nearest_folder
from genstudio.releases import hub, records
from genstudio.releases.catalogue import find
from genstudio.releases.header import read_header
from genstudio.releases.hub import Offer, Report, Wanted
from genstudio.releases.places import expected, place, resolve, size_text
from genstudio.releases.release import Release

if TYPE_CHECKING:
    from genstudio.releases.imports import Report as Imported


@dataclass(frozen=True, slots=True)
class Step:
    """A network of a release and where it comes from: a file of the hub's cache, an offer of the hub, or None
    where its weights are here. `revision` is what the user chose."""

    release: Release
    source: Path | Offer | None
    revision: str | None = None

    @property
    def download(self) -> int:
        """Bytes that have to come."""
        return self.source.size - self.source.there if isinstance(self.source, Offer) else 0

    @property
    def written(self) -> int:
        """About the bytes of the converted copy: official files are float32, as ours are."""
        match self.source:
            case Offer():
                return self.source.size
            case Path():
                return self.source.stat().st_size
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a step did; `imported` is None where the weights were here."""

    release: str
    path: Path
    downloaded: int = 0
    commit: str | None = None
    imported: "Imported | None" = None


def plan(release: Release, revision: str | None = None) -> list[Step]:
    """Steps for a release and its tokenizer; `revision` is of the release's own file.

    The hub is asked for nothing that is here. Raises GenstudioError where nobody offers what is missing.
    """
    first = _step(release, revision)
    return [first, _step(find(release.tokenizer), None)] if release.tokenizer else [first]


def check_space(steps: list[Step]) -> None:
    """Raises GenstudioError where a disk has no room for what would be written to it."""
    needs: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for step in steps:
        cache = step.source.blob if isinstance(step.source, Offer) else None
        for path, size in ((cache, step.download), (expected(step.release), step.written)):
            if path is not None:
                disk = nearest_folder(path).stat().st_dev
                needs[disk] += size
                places.setdefault(disk, path)
    for disk, need in needs.items():
        if need > (free := free_bytes(places[disk])):
            raise GenstudioError(
                f"{size_text(need)} would be written to the disk of {places[disk].parent}; "
                f"{size_text(free)} are free.",
                "Free some space, or choose other disks: HF_HOME for downloads, GENSTUDIO_HOME for models.",
            )


def carry_out(step: Step, report: Report, say: Callable[[str], None]) -> Pulled:
    """Download and import what a step says; `report` hears the bytes that are there, `say` what happens."""
    release, source = step.release, step.source
    if source is None:
        return Pulled(release=release.name, path=resolve(release))
    from genstudio.releases.imports import import_file

    coming = step.download
    found = hub.fetch(source, report) if isinstance(source, Offer) else hub.checked(source)
    say(f"{release.name}: checking and converting")
    imported = import_file(found.path, release, sha256=found.sha256, revision=step.revision)
    return Pulled(
        release=release.name,
        path=expected(release),
        downloaded=coming,
        commit=source.commit if isinstance(source, Offer) else None,
        imported=imported,
    )


def _step(release: Release, revision: str | None) -> Step:
    if release.file is None or release.folder is not None:
        if revision is not None:
            raise GenstudioError(f"{release.name} comes from no hub.", "Leave --revision away.")
        resolve(release)
        return Step(release, None)
    here = place(release) != "missing"
    if here and revision is None:
        return Step(release, None)
    wanted = Wanted(release.name, release.file.hub, release.file.name)
    source = _found(replace(wanted, revision=revision) if revision else wanted)
    hash_ = source.sha256 if isinstance(source, Offer) else source.resolve().name
    if here and hash_ == _origin(release):
        return Step(release, None)
    if isinstance(source, Offer) and source.sha256:
        records.compare(release.file, source.sha256, revision)  # before anything is downloaded in vain
    return Step(release, source, revision)


def _found(wanted: Wanted) -> Path | Offer:
    return hub.cached(wanted) or hub.ask(wanted)


def _origin(release: Release) -> str | None:
    """The hash of the file that the imported weights were made from."""
    origin: dict[str, str] = read_header(expected(release)).studio.get("origin") or {}
    return origin.get("sha256")
