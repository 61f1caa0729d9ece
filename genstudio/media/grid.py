"""Many pictures as one: rows and columns with thin margins, small pictures enlarged until they can be seen.

Enlarging repeats pixels (nearest neighbour, whole factors): a grid shows the pixels that were made, no other.
Captions take a second line where a cell is narrow, and are cut where that is not enough.
"""

import re
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from genstudio.errors import GenstudioError
from genstudio.media.png import to_image

if TYPE_CHECKING:
    from torch import Tensor

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

VISIBLE = 64  # pixels that a cell has at least
MARGIN = 2
CAPTION_SIZE = 11
CAPTION_LINE = CAPTION_SIZE + 2
CAPTION_SPACE = 3  # around all lines of a caption
ELLIPSIS = "..."


def grid(pictures: "Tensor", columns: int, captions: Sequence[str] | None = None) -> Image.Image:
    """One picture of uint8 [n,C,H,W] in rows of `columns`, on white, with a caption under each where given.

    Raises GenstudioError when there is nothing to show, ValueError when there is not one caption each.
    """
    if len(pictures) == 0 or columns < 1:
        raise GenstudioError("A grid needs at least one picture and one column.", "Ask for more pictures.")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f"{len(captions)} captions for {len(pictures)} pictures")
    cells = [enlarged(to_image(picture)) for picture in pictures]
    width, height = cells[0].size
    font = ImageFont.load_default(CAPTION_SIZE)
    texts = [_lines(caption, width - 2, font) for caption in captions or ()]
    below = caption_height(max(map(len, texts))) if texts else 0
    columns, rows = min(columns, len(cells)), ceil(len(cells) / columns)
    step = (width + MARGIN, height + MARGIN + below)
    sheet = Image.new("RGB", (columns * step[0] + MARGIN, rows * step[1] + MARGIN), "white")
    for i, cell in enumerate(cells):
        corner = (MARGIN + i % columns * step[0], MARGIN + i // columns * step[1])
        sheet.paste(cell, corner)
        if texts:
            _write(sheet, texts[i], (corner[0] + 1, corner[1] + height + 1), font)
    return sheet


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture whose shorter side is at least VISIBLE pixels, by repeating pixels whole times."""
    factor = max(1, ceil(VISIBLE / min(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def caption_height(lines: int) -> int:
    """Pixels below a row of pictures whose captions have that many lines."""
    return CAPTION_SPACE + CAPTION_LINE * lines


def _write(sheet: Image.Image, lines: list[str], corner: tuple[int, int], font: Font) -> None:
    for row, line in enumerate(lines):
        place = (corner[0], corner[1] + row * CAPTION_LINE)
        ImageDraw.Draw(sheet).text(place, line, "black", font)


def _lines(text: str, width: int, font: Font) -> list[str]:
    """One or two lines that fit, broken behind a space, a hyphen or a slash."""
    first, rest = "", re.split(r"(?<=[\s/_-])", text)
    while rest and (not first or font.getlength((first + rest[0]).rstrip()) <= width):
        first += rest.pop(0)
    lines = [first.strip(), "".join(rest).strip()]
    return [_fitted(line, width, font) for line in lines if line]


def _fitted(text: str, width: int, font: Font) -> str:
    """The longest beginning of `text` that fits, with an ellipsis where it was cut."""
    if font.getlength(text) <= width:
        return text
    cuts = (text[:length] + ELLIPSIS for length in range(len(text) - 1, 0, -1))
    return next((cut for cut in cuts if font.getlength(cut) <= width), "")
