"""What commands tell of prompts, and refuse, before any weights are loaded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from genstudio.cli.console import note

if TYPE_CHECKING:
    from genstudio.releases.release import Release

TOLD: Final = 3  # prompts of which lost words are told one by one


def check_texts(release: "Release", texts: Sequence[str], quiet: bool) -> None:
    """Say which words are not read; by the encoder's tokenizer alone refuse what does not fit.

    Raises GenstudioError for that, and (exit code 3) where the encoder is not here.
    """
    from genstudio.text.prompts import unread_words

    unread = unread_words(release, texts)
    for prompt, words in list(unread.items())[:TOLD]:
        note(f"{prompt!r} is read without: {', '.join(words)}", quiet)
    if len(unread) > TOLD:
        note(f"{len(unread) - TOLD} more prompts are read without some of their words", quiet)
    from genstudio.text.t5 import open_tokens

    open_tokens(release).check(texts)
