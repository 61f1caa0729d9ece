"""Files that are whole or absent, files that a run was made from, and the folder of the program's own.

Every file that genstudio writes goes through `atomic`: a temporary name beside the target, fsync, rename. A
crash, a full disk or Ctrl-C leaves either the old file or the new one, and no rubbish.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from uuid import uuid4

import platformdirs

from genstudio.errors import GenstudioError

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a run is made from, by path and hash, so that metadata can make the run again as long as it
    is there."""

    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path, hint: str) -> "Source":
        """The file as it is now. Raises GenstudioError with `hint` where there is none."""
        if not path.is_file():
            raise GenstudioError(f"There is no file {path}.", hint)
        return cls(str(path.resolve()), digest(path))

    @property
    def name(self) -> str:
        """The file without its folder."""
        return Path(self.path).name

    def found(self, hint: str) -> Path:
        """Where it lies. Raises GenstudioError where it is gone, with `hint`, or holds something else now."""
        path = Path(self.path)
        if not path.is_file():
            raise GenstudioError(f"There is no file {path}.", hint)
        if digest(path) != self.sha256:
            raise GenstudioError(
                f"{path} is not what it was when the run was asked for.", "Give the file of that time."
            )
        return path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; a clean exit makes it `path` durably, any error removes it.

    Parent folders are made. Raises GenstudioError where the disk is full or the place cannot be written.
    """
    with _temporary(path) as temporary:
        yield temporary
        settle(temporary, path)


def write(path: Path, fill: Callable[[Path], object], fresh: bool = False) -> Path:
    """As `atomic`, for a function that fills the file; returns its name.

    A `fresh` file is written beside older ones: as `path`, or as the first of `NAME-1`, `NAME-2` ... that
    nobody has. No other process gets the same name.
    """
    with _temporary(path) as temporary:
        fill(temporary)
        name = _claimed(path) if fresh else path
        try:
            settle(temporary, name)
        except OSError:
            if fresh:
                name.unlink(missing_ok=True)
            raise
    return name


def settle(temporary: Path, path: Path) -> None:
    """Make a finished file `path`, durably, with the rights that the user's files get."""
    temporary.chmod(0o666 & ~_umask())  # safetensors leaves files that their owner alone can read
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def digest(*paths: Path) -> str:
    """The sha256 of a file, or of several one after the other, in hex, read in blocks."""
    total, block = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(block):
                total.update(block[:count])
    return total.hexdigest()


def home() -> Path:
    """Where imported weights, codes and records are kept: $GENSTUDIO_HOME or the user's cache folder."""
    chosen = os.environ.get("GENSTUDIO_HOME")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("genstudio")


def nearest_folder(path: Path) -> Path:
    """The folder above `path` that exists, or `path` itself."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def free_bytes(path: Path) -> int:
    """What is free on the disk where `path` lies or would lie."""
    return shutil.disk_usage(nearest_folder(path)).free


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside `path` that is free again afterwards; the disk's errors in plain words."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise explained(error, path) from error


def _claimed(path: Path) -> Path:
    """The first free name, from now on an empty file."""
    return next(filter(_claim, chain([path], (path.with_stem(f"{path.stem}-{i}") for i in count(1)))))


def _claim(path: Path) -> bool:
    """Make an empty file; whether it is this process that made it."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True


def _umask() -> int:
    """The process's mask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explained(error: OSError, path: Path) -> GenstudioError:
    """What kept a file from being written, for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GenstudioError(
            f"The disk is full: {path} was not written.", "Free some space, or write to another place."
        )
    reason = error.strerror or str(error)
    return GenstudioError(f"{path} cannot be written: {reason}.", "Choose a place that you may write to.")
