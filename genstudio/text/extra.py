"""Reading prompts needs libraries that nothing else does: the extra `genstudio[text]`."""

from collections.abc import Iterator
from contextlib import contextmanager

from genstudio.errors import GenstudioError


@contextmanager
def needs_text_extra(what: str) -> Iterator[None]:
    """Around imports: `what`, half a sentence, cannot be done where the extra is not installed.

    Raises GenstudioError instead of ImportError.
    """
    try:
        yield
    except ImportError as error:
        raise GenstudioError(
            f"{what} by {error.name}, which is not installed.", "Run: pip install 'genstudio[text]'"
        ) from error
