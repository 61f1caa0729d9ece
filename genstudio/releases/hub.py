"""A file of a hub repository: out of the hub's own cache, or downloaded into it.

Cache, names, tokens and addresses are huggingface_hub's (HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE). Its
`hf_hub_download` begins again when a process was ended; here the part that came stays in the cache, as
`blobs/ETAG.incomplete`, and the next process goes on with it. The ETag of a large file is its sha256, so that
every byte is checked before the file gets its name. No torch.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from genstudio.errors import Exit, GenstudioError
from genstudio.files import digest, explained, settle, write_text
from genstudio.releases.places import size_text

Report = Callable[[int], None]

# httpx's or httpx2's, whichever this huggingface_hub speaks through.
TransportError: type[Exception] = HfHubHTTPError.__bases__[0]
SHA256: Final = re.compile(r"[0-9a-f]{64}")
NAME: Final = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a hub repository, and the release that it is for."""

    release: str
    hub: str
    name: str
    revision: str = constants.DEFAULT_REVISION

    def __str__(self) -> str:
        at = "" if self.revision == constants.DEFAULT_REVISION else f" at {self.revision}"
        return f"{self.name} from {self.hub}{at}"

    @property
    def folder(self) -> Path:
        """Where the hub's cache keeps that repository."""
        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.hub, repo_type="model")

    @property
    def by_hand(self) -> str:
        """What remains to be done where the hub cannot help."""
        return (
            f"get {self.name} in another way and run: genstudio models import {self.name} --as {self.release}"
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What the hub says about a file before it is downloaded; `size` is in bytes."""

    wanted: Wanted
    commit: str
    etag: str
    size: int

    @property
    def sha256(self) -> str | None:
        """The hash that the file must have, where the hub tells it."""
        return self.etag if SHA256.fullmatch(self.etag) else None

    @property
    def blob(self) -> Path:
        """Where the hub's cache keeps the content."""
        return self.wanted.folder / "blobs" / self.etag

    @property
    def part(self) -> Path:
        """What came so far."""
        return self.blob.with_name(f"{self.etag}.incomplete")

    @property
    def there(self) -> int:
        """Bytes of an earlier download that can be gone on with: more than there are cannot be right."""
        there = self.part.stat().st_size if self.part.is_file() else 0
        return there if there <= self.size else 0


class Found(NamedTuple):
    """A file that is whole."""

    path: Path
    sha256: str


def cached(wanted: Wanted) -> Path | None:
    """The file in the hub's cache; the hub is not asked whether there is a newer one."""
    found = try_to_load_from_cache(wanted.hub, wanted.name, revision=wanted.revision)
    return Path(found) if isinstance(found, str) else None


def checked(path: Path) -> Found:
    """A file of the hub's cache, read once to see that it is whole. Raises GenstudioError (exit code 5)."""
    name, found = path.resolve().name, digest(path)
    if SHA256.fullmatch(name) and name != found:
        raise GenstudioError(
            f"{path} is not the file that the hub's cache says it is: its sha256 is {found[:12]}...",
            f"Remove {path.resolve()} and run the command again.",
            Exit.CHECK,
        )
    return Found(path, found)


def ask(wanted: Wanted) -> Offer:
    """What the hub has under that name. Raises GenstudioError (exit code 3) where it has nothing."""
    if constants.HF_HUB_OFFLINE:
        raise _offline(wanted)
    with _explaining(wanted):
        found = get_hf_file_metadata(hf_hub_url(wanted.hub, wanted.name, revision=wanted.revision))
    if not (found.commit_hash and found.size and NAME.fullmatch(found.etag or "")):
        raise GenstudioError(
            f"{constants.ENDPOINT} does not answer as a hub does: commit, ETag or size are missing.",
            f"Check HF_ENDPOINT; or {wanted.by_hand}.",
            Exit.WEIGHTS,
        )
    return Offer(wanted, found.commit_hash, str(found.etag), found.size)


def fetch(offer: Offer, report: Report) -> Found:
    """Download what is missing; `report` hears how many bytes are there.

    Raises GenstudioError for whatever goes wrong: what came is kept for the next try, unless its hash is
    another one (exit code 5).
    """
    wanted = offer.wanted
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / wanted.folder.name / f"{offer.etag}.lock"
    with _explaining(wanted, offer.part):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if fresh := not offer.blob.is_file():
                _download(offer, report)
        path = _linked(offer)
    return Found(path, offer.sha256) if fresh and offer.sha256 else checked(path)


def _linked(offer: Offer) -> Path:
    """Give the content its name in the cache. By commit: a branch may have moved on during the download."""
    wanted = offer.wanted
    path = hf_hub_download(wanted.hub, wanted.name, revision=offer.commit)
    if wanted.revision != offer.commit:
        write_text(wanted.folder / "refs" / wanted.revision, offer.commit)
    return Path(path)


def _download(offer: Offer, report: Report) -> None:
    offer.part.parent.mkdir(parents=True, exist_ok=True)
    if not offer.there:
        offer.part.unlink(missing_ok=True)
    url = hf_hub_url(offer.wanted.hub, offer.wanted.name, revision=offer.commit)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    with _Watched(offer.part, report) as file:
        http_get(url, file, resume_size=file.tell(), headers=headers, expected_size=offer.size)
    if (found := digest(offer.part)) != (offer.sha256 or found):
        offer.part.unlink()
        raise GenstudioError(
            f"{offer.wanted} came with the sha256 {found[:12]}..., the hub promised {offer.etag[:12]}...; "
            "it was removed.",
            "Run the command again; if this happens again, try without HF_ENDPOINT or a proxy.",
            Exit.CHECK,
        )
    settle(offer.part, offer.blob)


class _Watched(io.BufferedWriter):
    """A file that is appended to and tells how long it is."""

    def __init__(self, path: Path, report: Report) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.report = report

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        count = super().write(data)
        self.flush()  # a process that is killed leaves what it has told
        self.report(self.tell())
        return count


@contextmanager
def _explaining(wanted: Wanted, part: Path | None = None) -> Iterator[None]:
    """Errors of the library and the disk as GenstudioErrors; `part` is what a download leaves."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise _offline(wanted) from error
    except HfHubHTTPError as error:
        raise _refused(wanted, error) from error
    except TransportError as error:
        kept = f" {_kept(part)}" if part else ""
        raise GenstudioError(
            f"{constants.ENDPOINT} cannot be reached: {str(error) or type(error).__name__}.{kept}",
            f"Check the network and HF_ENDPOINT and run the command again; or {wanted.by_hand}.",
            Exit.WEIGHTS,
        ) from error
    except OSError as error:
        raise _unwritten(error, part or wanted.folder) from error


def _refused(wanted: Wanted, error: HfHubHTTPError) -> GenstudioError:
    """A status other than 200, in words."""
    place = f"{constants.ENDPOINT}/{wanted.hub}"
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        message = f"{place} gives its files only to those who agreed to its terms."
        hint = "Agree on that page, then set HF_TOKEN to a token of yours."
    elif isinstance(error, RevisionNotFoundError):
        message = f"{place} has no revision {wanted.revision}."
        hint = "Give --revision a branch, a tag or the whole hash of a commit."
    elif isinstance(error, RepositoryNotFoundError):
        message = f"There is no {place}, or it is private."
        hint = f"Set HF_TOKEN if it is yours; check HF_ENDPOINT; or {wanted.by_hand}."
    elif isinstance(error, RemoteEntryNotFoundError) or status == 404:
        message = f"{place} has no file {wanted.name} at revision {wanted.revision}."
        hint = f"Give another --revision; or {wanted.by_hand}."
    else:
        message = f"{place} answered with status {status}."
        hint = f"Run the command again later: it goes on where it was; or {wanted.by_hand}."
    return GenstudioError(message, hint, Exit.WEIGHTS)


def _offline(wanted: Wanted) -> GenstudioError:
    return GenstudioError(
        f"{wanted.release} is not on this machine, and HF_HUB_OFFLINE forbids to ask the hub.",
        f"Copy the folder {wanted.folder.name} of another machine's hub cache to {wanted.folder.parent}; "
        f"or {wanted.by_hand}.",
        Exit.WEIGHTS,
    )


def _unwritten(error: OSError, part: Path) -> GenstudioError:
    if error.errno is None:  # the library's own: the file ended too early
        return GenstudioError(
            f"The download was cut short. {_kept(part)}", "Run the command again.", Exit.WEIGHTS
        )
    told = explained(error, part)
    hint = f"{told.hint} HF_HOME moves the hub's cache; the same command goes on where it was."
    return GenstudioError(told.message, hint, told.code)


def _kept(part: Path) -> str:
    there = part.stat().st_size if part.is_file() else 0
    return f"{size_text(there)} are kept."
