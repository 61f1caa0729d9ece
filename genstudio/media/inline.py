"""Pictures as the escape codes by which terminals show them: kitty's, iTerm2's, sixel, and half blocks.

Pure functions from an RGB picture to text; `screen` decides where it stands. The pixel protocols get exactly
the pixels given; half blocks show two pixels per character, in as many colours as the terminal has. There are
libraries (term-image, textual-image), but one pins an old Pillow, one asks the terminal when it is imported,
and none knows all four. Sources: kitty's and iTerm2's documentation of their protocols, DEC STD 070.
"""

import io
from base64 import b64encode
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from PIL import Image
from rich.color import Color, ColorSystem

ESC: Final = "\x1b"
CHUNK: Final = 4096  # base64 characters that kitty takes at once
SIXEL_ROWS: Final = 6  # pixels above each other in one sixel
SIXEL_COLOURS: Final = 256
HALF_BLOCK: Final = "▀"


def kitty(picture: Image.Image, rows: int, number: int) -> str:
    """Kitty's graphics protocol: a PNG over `rows` lines that takes the place of the earlier `number`.

    The terminal neither answers (q=2) nor moves the cursor (C=1).
    """
    data = b64encode(_png(picture)).decode()
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    keys = [f"a=T,f=100,i={number},p=1,r={rows},C=1,q=2", *["q=2"] * (len(chunks) - 1)]
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(f"{ESC}_G{k},m={m};{chunk}{ESC}\\" for k, m, chunk in zip(keys, more, chunks, strict=True))


def iterm2(picture: Image.Image, rows: int) -> str:
    """iTerm2's inline images (also WezTerm, mintty): a PNG over `rows` lines."""
    data = _png(picture)
    keys = f"inline=1;size={len(data)};height={rows};preserveAspectRatio=1"
    return f"{ESC}]1337;File={keys}:{b64encode(data).decode()}\a"


def sixel(picture: Image.Image) -> str:
    """Sixel graphics: at most 256 colours, six rows of pixels at a time, one colour after the other."""
    paletted = picture.convert("RGB").quantize(SIXEL_COLOURS, dither=Image.Dither.NONE)
    palette = np.array(paletted.getpalette(), dtype=float).reshape(-1, 3)
    percent = (palette / 255 * 100).round().astype(int)
    registers = "".join(f"#{i};2;{r};{g};{b}" for i, (r, g, b) in enumerate(percent))
    index_HW = np.asarray(paletted)
    bands = (index_HW[top : top + SIXEL_ROWS] for top in range(0, len(index_HW), SIXEL_ROWS))
    size = f'"1;1;{picture.width};{picture.height}'
    return f"{ESC}Pq{size}{registers}{'-'.join(map(_band, bands))}{ESC}\\"


def blocks(picture: Image.Image, colours: ColorSystem) -> str:
    """Upper half blocks: two rows of pixels a line, the upper as foreground, the lower as background.

    The picture has an even height.
    """
    pixels_HW3 = np.asarray(picture.convert("RGB"))
    lines = zip(pixels_HW3[0::2].tolist(), pixels_HW3[1::2].tolist(), strict=True)
    return "\r\n".join(_line(upper, lower, colours) for upper, lower in lines)


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, format="PNG")
    return data.getvalue()


def _band(index_hW: np.ndarray) -> str:
    """Up to six rows of pixels; `$` goes back to the left for the next colour."""
    weights_h1 = 1 << np.arange(len(index_hW))[:, None]
    used = np.unique(index_hW)
    return "$".join(f"#{colour}{_runs(((index_hW == colour) * weights_h1).sum(0))}" for colour in used)


def _runs(bits_W: np.ndarray) -> str:
    """Sixels as characters from `?`, repeated ones by their count; nothing behind the last that is set."""
    edges = [0, *(np.flatnonzero(np.diff(bits_W)) + 1).tolist(), len(bits_W)]
    runs = [(stop - start, chr(63 + int(bits_W[start]))) for start, stop in pairwise(edges)]
    if runs[-1][1] == "?":
        runs.pop()
    return "".join(f"!{count}{sixel}" if count > 3 else sixel * count for count, sixel in runs)


def _line(upper: list[list[int]], lower: list[list[int]], colours: ColorSystem) -> str:
    """A line of half blocks; colours are said where they change."""
    said, parts = "", []
    for above, below in zip(upper, lower, strict=True):
        codes = f"{_codes(*above, colours, True)};{_codes(*below, colours, False)}"
        parts.append(HALF_BLOCK if codes == said else f"{ESC}[{codes}m{HALF_BLOCK}")
        said = codes
    return "".join([*parts, f"{ESC}[0m"])


@cache
def _codes(red: int, green: int, blue: int, colours: ColorSystem, foreground: bool) -> str:
    """The nearest colour that the terminal has, as Rich finds it."""
    return ";".join(Color.from_rgb(red, green, blue).downgrade(colours).get_ansi_codes(foreground))
