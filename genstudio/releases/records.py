"""Hashes that nobody published: the first one seen is recorded, every later one is compared with it.

A JSON file in the program's own folder, keyed by what was hashed. No torch.
"""

import json
from pathlib import Path

from genstudio.errors import Exit, GenstudioError
from genstudio.files import home, write_text


def records_file() -> Path:
    """The file of first-seen hashes."""
    return home() / "first-seen.json"


def known(what: str) -> str | None:
    """The hash recorded for `what`, if any."""
    return _read().get(what)


def record(what: str, sha256: str) -> None:
    """Record a hash, in place of the one before."""
    write_text(records_file(), json.dumps({**_read(), what: sha256}, indent=2, sort_keys=True) + "\n")


def _read() -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in json.loads(records_file().read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, OSError) as error:
        raise GenstudioError(
            f"{records_file()} cannot be read.", "Remove it; hashes are then recorded again.", Exit.INTERNAL
        ) from error
