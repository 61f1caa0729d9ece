"""Prompts as LlamaGen's text-to-image models learned to read them (arXiv 2406.06525, NAR 2503.10696 alike).

The rules are those of DeepFloyd IF's cleaner for captions from the web, applied twice as LlamaGen does: lower
case; no addresses, HTML, CJK, long numbers, file names, advertising, odd punctuation. Some look like
accidents (of `https://a.xyz` only the scheme goes); they stay, because the models were trained behind them. A
prompt of which nothing is left is an error here; the official code goes on with an empty one.
"""

import html
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Final
from urllib.parse import unquote_plus

from genstudio.errors import GenstudioError
from genstudio.releases.release import Cleaning
from genstudio.text.extra import needs_text_extra

VERSION: Final = 1  # of the rules: it stands in every features file

Rule = tuple[str, str]  # what goes, and what stands in its place

FILES: Final = "(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)"
HOST: Final = r"[a-z0-9.\-]+\.(?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b/?(?!@)"
DASHES: Final = "\u002d\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0"

ADDRESSES: Final[tuple[Rule, ...]] = tuple(
    (rf"\b(?:{scheme}:(?:/{{1,3}}|[a-z0-9%])|{HOST})", "") for scheme in ("https?", "www")
)
SIGNS: Final[tuple[Rule, ...]] = (
    (r"@\w+\b", ""),  # handles
    ("[\u31c0-\u9fff]+", ""),  # CJK strokes, enclosed and compatible forms, ideographs
    (f"[{DASHES}\ufe31\ufe32\ufe58\ufe63\uff0d]+", "-"),
    ("[`\u00b4\u00ab\u00bb\u201c\u201d\u00a8]", '"'),
    ("[\u2018\u2019]", "'"),
    ("&quot;?", ""),
    ("&amp", ""),
    (r"\d{1,3}(?:\.\d{1,3}){3}", " "),  # addresses of machines
    (r"\d:\d\d\s+$", ""),  # a clock at the end
    (r"\\n", " "),
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"\S+\.{FILES}", ""),
    (r"[\"']{2,}", '"'),
    (r"\.{2,}", " "),
    (r"[#®•©™&@·º½¾¿¡§~()\[\]{}|\\/*]+", " "),
    (r"\s+\.\s+", " "),
)
JUNK: Final[tuple[Rule, ...]] = (
    (r"\b[a-zA-Z]{1,3}\d{3,15}\b", ""),  # numbers of goods: ab1234
    (r"\b[a-zA-Z]+\d+[a-zA-Z]+\b", ""),  # ab1234cd
    (r"\b\d+[a-zA-Z]+\d+\b", ""),  # 12ab34
    (r"(?:worldwide\s+)?(?:free\s+)?shipping", ""),
    (r"(?:free\s)?download(?:\sfree)?", ""),
    (r"\bclick\b\s(?:for|on)\s\w+", ""),
    (rf"\b{FILES}(?:\simages?)?", ""),
    (r"\bpage\s+\d+\b", ""),
    (r"\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b", " "),  # a1b2c3
    ("\\b\\d+\\.?\\d*[x\u0445\u00d7]\\d+\\.?\\d*\\b", ""),  # sizes: 640x480
    (r"\b\s+:\s+", ": "),
    (r"(\D[,./])\b", r"\1 "),
    (r"\s+", " "),
)
ENDS: Final[tuple[Rule, ...]] = (
    (r"^[\"']([\w\W]+)[\"']$", r"\1"),
    (r"^['_,\-:;]", ""),
    (r"['_,\-:+]$", ""),
    (r"^\.\S+$", ""),
)


def cleaned(prompt: str, rule: Cleaning) -> str:
    """The prompt as the text encoder gets it.

    Raises GenstudioError for an empty prompt, and where nothing of it is left.
    """
    if not prompt.strip():
        raise GenstudioError("A prompt is empty.", "Say what the picture shows: -p 'a red bird'.")
    if rule == "none":
        return prompt
    read = _once(_once(prompt))
    if not read:
        raise GenstudioError(
            f"Nothing of the prompt {prompt!r} can be read.",
            "This model knows no addresses, file names, long numbers and no Chinese, as in its training: say "
            "it in English words.",
        )
    return read


def lost(prompt: str, read: str) -> tuple[str, ...]:
    """Words of the prompt that `read`, its cleaned form, holds no more."""
    kept = set(_words(read))
    return tuple(dict.fromkeys(word for word in _words(prompt) if word not in kept))


def _once(text: str) -> str:
    with needs_text_extra("Prompts of this model are cleaned"):
        from ftfy import fix_text

    text = unquote_plus(text).strip().lower().replace("<person>", "person")
    text = _spoken(_replaced(text, ADDRESSES))
    text = _replaced(text, SIGNS)
    if len(re.findall("[-_]", text)) > 3:  # words-joined-like-this-one
        text = re.sub("[-_]", " ", text)
    text = html.unescape(html.unescape(fix_text(text))).strip()
    return _replaced(text, (*JUNK, *ENDS)).strip()


def _replaced(text: str, rules: Iterable[Rule]) -> str:
    for pattern, instead in rules:
        text = re.sub(pattern, instead, text)
    return text


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _spoken(text: str) -> str:
    """What a browser would show of HTML."""
    page = _Page()
    page.feed(text)
    page.close()
    return "".join(page.shown)


class _Page(HTMLParser):
    """Collects text outside of tags, comments, scripts and styles."""

    UNSEEN: Final = ("script", "style", "template")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.shown: list[str] = []
        self.unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.unseen += tag in self.UNSEEN

    def handle_endtag(self, tag: str) -> None:
        self.unseen = max(0, self.unseen - (tag in self.UNSEEN))

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.shown.append(data)

    def handle_charref(self, name: str) -> None:
        self.handle_data(html.unescape(f"&#{name};"))

    def handle_entityref(self, name: str) -> None:
        known = html.unescape(f"&{name};")
        self.handle_data(f"&{name}" if known.endswith(";") else known)
