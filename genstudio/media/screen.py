"""A place in the terminal where one picture is drawn over and over, with a line of text below it.

Everything goes through one stream, so nothing else may write to it meanwhile. The place is made by empty
lines and left at its end: what is printed afterwards stands below.
"""

import os
import sys
from collections.abc import Callable
from math import ceil
from types import TracebackType
from typing import TextIO

from PIL import Image
from rich.color import ColorSystem
from rich.console import Console

from genstudio.errors import GenstudioError
from genstudio.media import inline
from genstudio.media.terminal import PROTOCOLS, Extent, Protocol, extent, protocol_of

SAVE, RESTORE = "\x1b7", "\x1b8"  # of the cursor
END = "\x1b[0m\n"
CUT = "\x1b\\"  # ends the codes of a picture that an interrupt left open
SPARE = 2  # lines that stay free: the text, and the prompt that comes after
PIXELS_OF_A_BLOCK = (1, 2)


class Screen:
    """Draws pictures in place; a context manager that leaves the cursor below them."""

    def __init__(self, stream: TextIO, protocol: Protocol) -> None:
        self.stream, self.protocol = stream, protocol
        self._number = os.getpid() % 2**31 + 1  # of kitty's picture: an earlier run's stays where it is
        self._encode = self._encoder()
        self._rows = 0

    def __enter__(self) -> "Screen":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._rows:
            self._write(CUT)
        self.leave()

    def leave(self) -> None:
        """Go below what was drawn, where others may write; the next picture gets a new place."""
        if self._rows:
            self._write(END)
            self._rows = 0

    def show(self, picture: Image.Image, status: str) -> None:
        """Draw a picture where the last one was, as large as there is room, and say `status` below."""
        found = extent(self.stream)
        cell = PIXELS_OF_A_BLOCK if self.protocol == "blocks" else found.cell
        sheet = placed(picture.convert("RGB"), found._replace(cell=cell))
        rows = sheet.height // cell[1]
        text = status[: found.columns - 1]
        drawn = f"{SAVE}{self._encode(sheet, rows)}{RESTORE}"
        self._write(f"{self._top(rows)}{drawn}\x1b[{rows}B\r{text}\x1b[K")

    def _top(self, rows: int) -> str:
        """To the upper left corner of the place, made anew where its height changes."""
        back = f"\r\x1b[{self._rows}A" if self._rows else "\r"
        if rows == self._rows:
            return back
        self._rows = rows
        newlines = "\n" * rows
        return f"{back}\x1b[J{newlines}\r\x1b[{rows}A"

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

    def _encoder(self) -> Callable[[Image.Image, int], str]:
        match self.protocol:
            case "kitty":
                return lambda picture, rows: inline.kitty(picture, rows, self._number)
            case "iterm2":
                return inline.iterm2
            case "sixel":
                return lambda picture, _: inline.sixel(picture)
        colours = _colours(self.stream)
        return lambda picture, _: inline.blocks(picture, colours)


def open_screen(protocol: str = "") -> Screen | None:
    """Of the terminal on stderr, by the named protocol or the one that it is known to have; None where there
    is no terminal or it shows no pictures. Raises GenstudioError for a protocol that does not exist."""
    if protocol and protocol not in PROTOCOLS:
        raise GenstudioError(
            f"There is no way {protocol!r} to show a picture.", f"Give one of {', '.join(PROTOCOLS)}."
        )
    known = next((one for one in PROTOCOLS if one == protocol), None) if sys.stderr.isatty() else None
    found = known or protocol_of(sys.stderr, os.environ)
    return Screen(sys.stderr, found) if found else None


def placed(picture: Image.Image, room: Extent) -> Image.Image:
    """A picture as it is drawn: enlarged by a whole factor while it stays within half of the room's height,
    shrunk where it would not fit at all, and on white down to the end of its last line."""
    width, height = room.columns * room.cell[0], max(1, room.lines - SPARE) * room.cell[1]
    factor = min(width // picture.width, height // 2 // picture.height)
    if factor >= 1:
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    else:
        share = min(width / picture.width, height / picture.height, 1.0)
        size = (max(1, int(picture.width * share)), max(1, int(picture.height * share)))
        picture = picture.resize(size, Image.Resampling.BOX)
    sheet = Image.new("RGB", (size[0], ceil(size[1] / room.cell[1]) * room.cell[1]), "white")
    sheet.paste(picture)
    return sheet


def _colours(stream: TextIO) -> ColorSystem:
    """How many the terminal has, as Rich knows it."""
    names = {"truecolor": ColorSystem.TRUECOLOR, "256": ColorSystem.EIGHT_BIT}
    return names.get(Console(file=stream).color_system or "", ColorSystem.STANDARD)
