"""What `-p`, `--prompts`, `--features` and `--negative` mean for a model; how prompts are read from files.

Everything that can be refused without the text encoder is refused here, before any weights are loaded. No
torch.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.releases.release import Release
from genstudio.text.clean import cleaned, lost
from genstudio.text.features import FeatureFile

SLUG: Final = 48  # letters of a prompt in a file's name
PICK: Final = "Give one that genstudio features wrote."


class Prompts(NamedTuple):
    """What pictures show, in order; what they are steered away from; the file that holds the features of all
    of it, where an encoder need not be asked."""

    prompts: tuple[str, ...]
    negative: str | None = None
    features: Source | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Every different text that has to be read."""
        return tuple(dict.fromkeys([*self.prompts, *([self.negative] if self.negative is not None else [])]))


def choose_prompts(
    release: Release,
    prompts: Sequence[str] = (),
    file: Path | str | None = None,
    features: Path | str | None = None,
    negative: str | None = None,
    classes: object = None,
) -> Prompts | None:
    """What the flags mean for a release; None for one that is made from classes.

    A features file alone means all of its prompts. Raises GenstudioError where the release reads no text, or
    reads it and gets none, or `classes`; for prompts of which nothing can be read, and for features that do
    not fit.
    """
    given = bool(prompts) or file is not None or features is not None or negative is not None
    if release.caption is None:
        if given:
            raise GenstudioError(
                f"{release.name} makes pictures of classes; it reads no text.",
                "Give -c CLASS, or choose a model that reads prompts: genstudio models.",
            )
        return None
    if classes is not None:
        raise GenstudioError(
            f"{release.name} makes pictures from text; it knows no classes.", "Give -p 'a red bird'."
        )
    texts = (*prompts, *(read_prompts(Path(file)) if file is not None else ()))
    if features is not None:
        return _stored(release, texts, Path(features), negative)
    if not texts:
        raise GenstudioError(
            f"{release.name} makes pictures from text.",
            "Give -p 'a red bird', --prompts FILE, or --features FILE.",
        )
    if release.text is None:
        raise GenstudioError(f"{release.name} names no text encoder.", f"Give --features FILE. {PICK}")
    chosen = Prompts(texts, negative)
    for text in chosen.texts:
        cleaned(text, release.text.cleaning)
    return chosen


def read_prompts(path: Path) -> tuple[str, ...]:
    """One prompt per line, or one JSON object per line with `prompt`; empty lines mean nothing.

    Raises GenstudioError for a file that is missing, no text, or holds no prompt, and for a line of JSON
    without one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = "Give a file with one prompt per line."
        raise GenstudioError(f"{path} cannot be read: {error.strerror}.", hint) from error
    except UnicodeDecodeError as error:
        raise GenstudioError(f"{path} is no text in UTF-8.", "Save it as UTF-8.") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise GenstudioError(f"{path} holds no prompt.", "Write one per line.")
    if path.suffix == ".jsonl" or lines[0][1].startswith("{"):
        return tuple(_from_json(path, number, line) for number, line in lines)
    return tuple(line for _, line in lines)


def unread_words(release: Release, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Words that the model's cleaning takes out of prompts, by prompt: a user has to hear of them."""
    rule = release.text.cleaning if release.text else "none"
    dropped = {text: lost(text, cleaned(text, rule)) for text in texts}
    return {text: words for text, words in dropped.items() if words}


def slug(prompt: str) -> str:
    """A prompt as part of a file's name: "A red, round bird!" is a-red-round-bird."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", prompt).lower())
    while len(words) > 1 and len("-".join(words)) > SLUG:
        words.pop()
    return "-".join(words)[:SLUG] or "prompt"


def _stored(release: Release, texts: Sequence[str], path: Path, negative: str | None) -> Prompts:
    source = Source.of(path, PICK)
    file = FeatureFile.read(path)
    file.check(release)
    chosen = Prompts(tuple(texts) or tuple(one for one in file.stored if one != negative), negative, source)
    for text in chosen.texts:
        if text not in file.stored:
            near = get_close_matches(text, file.stored, n=1)
            hint = f"It has {near[0]!r}." if near else "Add it to the prompts and run genstudio features."
            raise GenstudioError(f"{path} has no features of {text!r}.", hint)
    return chosen


def _from_json(path: Path, number: int, line: str) -> str:
    try:
        prompt = json.loads(line)["prompt"]
    except (ValueError, KeyError, TypeError) as error:
        raise _no_prompt(path, number) from error
    if not isinstance(prompt, str) or not prompt.strip():
        raise _no_prompt(path, number)
    return prompt


def _no_prompt(path: Path, number: int) -> GenstudioError:
    return GenstudioError(
        f"{path}, line {number}, holds no prompt.", 'Write every line as {"prompt": "a red bird"}.'
    )
