"""Many pictures as one: rows and columns with thin margins, small pictures enlarged until they can be seen.

Enlarging repeats pixels (nearest neighbour, whole factors): a grid shows the pixels that were made, no other.
"""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from genstudio.errors import GenstudioError
from genstudio.media.png import to_image

if TYPE_CHECKING:
    from torch import Tensor

VISIBLE = 64  # pixels that a cell has at least
MARGIN = 2
CAPTION_SIZE = 11
CAPTION_HEIGHT = CAPTION_SIZE + 5
ELLIPSIS = "..."


def grid(pictures: "Tensor", columns: int, captions: Sequence[str] | None = None) -> Image.Image:
    """One picture of uint8 [n,C,H,W] in rows of `columns`, on white, with a caption under each where given.

    Raises GenstudioError when there is nothing to show, ValueError when there is not one caption each.
    """
    if len(pictures) == 0 or columns < 1:
        raise GenstudioError("A grid needs at least one picture and one column.", "Ask for more pictures.")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f"{len(captions)} captions for {len(pictures)} pictures")
    height, width = pictures.shape[-2:]
    factor = max(1, ceil(VISIBLE / min(height, width)))
    cell = (width * factor, height * factor)
    step = (cell[0] + MARGIN, cell[1] + MARGIN + (CAPTION_HEIGHT if captions else 0))
    columns, rows = min(columns, len(pictures)), ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * step[0] + MARGIN, rows * step[1] + MARGIN), "white")
    for i, picture in enumerate(pictures):
        corner = (MARGIN + i % columns * step[0], MARGIN + i // columns * step[1])
        sheet.paste(to_image(picture).resize(cell, Image.Resampling.NEAREST), corner)
        if captions:
            _write(sheet, captions[i], (corner[0], corner[1] + cell[1]), cell[0])
    return sheet


def _write(sheet: Image.Image, text: str, corner: tuple[int, int], width: int) -> None:
    font = ImageFont.load_default(CAPTION_SIZE)
    ImageDraw.Draw(sheet).text((corner[0] + 1, corner[1] + 1), _fitted(text, width - 2, font), "black", font)


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The longest beginning of `text` that fits, with an ellipsis where it was cut."""
    if font.getlength(text) <= width:
        return text
    cuts = (text[:length] + ELLIPSIS for length in range(len(text) - 1, 0, -1))
    return next((cut for cut in cuts if font.getlength(cut) <= width), "")
