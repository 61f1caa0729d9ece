"""Which pictures a terminal can show: by what it says in the environment, else by asking it once.

A terminal names itself in TERM, TERM_PROGRAM and variables of its own. Inside tmux and its like these speak
of the wrong one, and the multiplexer answers for itself. Sixel often has no name to go by, so the terminal is
asked for its attributes (DA1), only where that is safe: its keyboard is ours and nobody has typed ahead.
"""

import os
import re
import select
import struct
import sys
import time
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TextIO, get_args

Protocol = Literal["kitty", "iterm2", "sixel", "blocks"]
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)

BY_TERM: Final[dict[str, Protocol]] = {
    "xterm-kitty": "kitty",
    "xterm-ghostty": "kitty",
    "foot": "sixel",
    "foot-extra": "sixel",
    "mlterm": "sixel",
    "contour": "sixel",
}
BY_PROGRAM: Final[dict[str, Protocol]] = {
    "kitty": "kitty",
    "ghostty": "kitty",
    "iTerm.app": "iterm2",
    "WezTerm": "iterm2",
    "mintty": "iterm2",
}
MULTIPLEXERS: Final = ("TMUX", "STY", "ZELLIJ")
KONSOLE_SINCE: Final = 220400  # the version from which Konsole shows kitty's pictures
ATTRIBUTES: Final = "\x1b[c"
SIXEL_ATTRIBUTE: Final = "4"
PATIENCE: Final = 0.5  # seconds: a terminal behind a slow line answers later, and is then not asked again


class Extent(NamedTuple):
    """Columns and lines of a terminal, and the pixels of one of its cells."""

    columns: int
    lines: int
    cell: tuple[int, int]


UNKNOWN_CELL: Final = (8, 16)  # on the small side: too small leaves a gap, too large would overlap the text


def recognise(environment: Mapping[str, str]) -> Protocol | None:
    """The protocol of a terminal that names itself; None where it has to be asked."""
    term = environment.get("TERM", "")
    if any(name in environment for name in MULTIPLEXERS) or term.startswith(("tmux", "screen")):
        return None
    if term in BY_TERM:
        return BY_TERM[term]
    if (program := environment.get("TERM_PROGRAM", "")) in BY_PROGRAM:
        return BY_PROGRAM[program]
    if environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if program:  # one that was started from another terminal, whose variables it still has
        return None
    konsole = environment.get("KONSOLE_VERSION", "")
    new_konsole = konsole.isdigit() and int(konsole) >= KONSOLE_SINCE
    return "kitty" if "KITTY_WINDOW_ID" in environment or new_konsole else None


def protocol_of(stream: TextIO, environment: Mapping[str, str]) -> Protocol | None:
    """How pictures get onto this stream; None where it is no terminal, or one without colours or blocks."""
    if not stream.isatty() or environment.get("TERM", "dumb") == "dumb":
        return None
    found = recognise(environment) or ("sixel" if _shows_sixel(stream) else "blocks")
    return None if found == "blocks" and not _shows_blocks(stream, environment) else found


def extent(stream: TextIO) -> Extent:
    """The terminal's size now."""
    size = os.get_terminal_size(stream.fileno())
    return Extent(size.columns or 80, size.lines or 24, _cell(stream.fileno()) or UNKNOWN_CELL)


def _cell(handle: int) -> tuple[int, int] | None:
    """As the terminal's driver was told, which costs no question; many terminals tell it."""
    if sys.platform == "win32":
        return None
    import fcntl
    import termios

    lines, columns, width, height = struct.unpack("4H", fcntl.ioctl(handle, termios.TIOCGWINSZ, bytes(8)))
    return (width // columns, height // lines) if width and height and lines and columns else None


def _shows_blocks(stream: TextIO, environment: Mapping[str, str]) -> bool:
    if environment.get("NO_COLOR"):
        return False
    try:
        "▀".encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _shows_sixel(stream: TextIO) -> bool:
    """Whether the terminal counts sixel among its attributes. Any doubt is a no."""
    if sys.platform == "win32" or sys.stdin is None or not sys.stdin.isatty():
        return False
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    if os.getpgrp() != os.tcgetpgrp(keyboard):  # a job in the background would be stopped
        return False
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        if select.select([keyboard], [], [], 0)[0]:
            return False
        stream.write(ATTRIBUTES)
        stream.flush()
        return SIXEL_ATTRIBUTE in attributes(_answer(keyboard))
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


def attributes(answer: str) -> list[str]:
    """What a terminal says of itself: ESC [ ? 62 ; 4 ; 22 c."""
    found = re.search(r"\x1b\[\?([\d;]*)c", answer)
    return found[1].split(";")[1:] if found else []


def _answer(keyboard: int) -> str:
    answer, until = "", time.monotonic() + PATIENCE
    while not answer.endswith("c") and (left := until - time.monotonic()) > 0:
        if select.select([keyboard], [], [], left)[0]:
            answer += os.read(keyboard, 64).decode("ascii", "replace")
    return answer
