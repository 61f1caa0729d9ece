"""What commands tell of prompts, and refuse, before any weights are loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genstudio.cli.console import note

if TYPE_CHECKING:
    from genstudio.evaluation.plan import Plan
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


def plan_texts(
    release: "Release",
    *,
    prompts: Path | None,
    features: Path | None,
    negative: str | None,
    classes: str | None = None,
) -> dict[str, Any]:
    """What a model from text shows, as fields of a scoring plan; nothing for a model of classes.

    Raises GenstudioError as `choose_prompts` does; `classes` is whatever means something to classes alone.
    """
    from genstudio.files import Source
    from genstudio.text.prompts import choose_prompts

    classes = classes if release.caption is not None else None
    chosen = choose_prompts(release, file=prompts, features=features, negative=negative, classes=classes)
    if chosen is None:
        return {}
    file = Source.of(prompts, "Give a file of prompts.") if prompts is not None else None
    return {"prompts": file, "features": chosen.features, "negative": chosen.negative}


def check_plan(release: "Release", plan: "Plan", quiet: bool) -> None:
    """As `check_texts`, for the prompts of a plan; features in a file were checked when they were made."""
    texts = plan.texts(release)
    if texts is not None and texts.features is None:
        check_texts(release, texts.texts, quiet)
