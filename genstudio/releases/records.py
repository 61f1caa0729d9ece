"""Hashes that nobody published: the first one seen is recorded, every later one is compared with it.

A JSON file in the program's own folder, keyed by what was hashed. No torch.
"""

import json
from pathlib import Path

from genstudio.errors import Exit, GenstudioError
from genstudio.files import home, write_text
from genstudio.releases.release import File


def records_file() -> Path:
    """The file of first-seen hashes."""
    return home() / "first-seen.json"


def known(what: str) -> str | None:
    """The hash recorded for `what`, if any."""
    return _read().get(what)


def record(what: str, sha256: str) -> None:
    """Record a hash, in place of the one before."""
    write_text(records_file(), json.dumps({**_read(), what: sha256}, indent=2, sort_keys=True) + "\n")


def compare(file: File, sha256: str, revision: str | None = None) -> str | None:
    """How the hash of an official file stands: "as published", "as seen first", None where neither is known.

    A revision of the file that the user chose has a record of its own, and nothing published speaks of it.
    Raises GenstudioError (exit code 5) for another hash.
    """
    what = name_of(file, revision)
    published = file.sha256 if revision is None else None
    wanted = published or known(what)
    source, hint = ("published", "Download it again.") if published else ("seen first", _trust(what))
    if wanted not in (None, sha256):
        message = f"{what} is not the file that was {source}: {sha256[:12]}..., not {wanted[:12]}..."
        raise GenstudioError(message, hint, Exit.CHECK)
    return wanted and f"as {source}"


def name_of(file: File, revision: str | None = None) -> str:
    """Under which name the hash of an official file is recorded."""
    return f"{file.hub}/{file.name}" + (f"@{revision}" if revision else "")


def _trust(what: str) -> str:
    return f"If you trust this file, remove {what} from {records_file()} and try again."


def _read() -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in json.loads(records_file().read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, OSError) as error:
        raise GenstudioError(
            f"{records_file()} cannot be read.", "Remove it; hashes are then recorded again.", Exit.INTERNAL
        ) from error
