"""Where drafts were accepted in a picture: its cells in colours, passes of the network apart by ticks.

Flat areas are foreseen in long runs, edges are redrawn: whoever tunes a window or trains a drafter looks at
where drafts fail. Colours are told apart by people who do not see all of them (Okabe and Ito, 2008).
Shapes: C channels, H x W pixels, L codes in raster order.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isqrt
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genstudio.media.grid import CAPTION_SIZE, MARGIN, grid
from genstudio.media.png import to_image
from genstudio.samplers.speculate.account import Account, Origin

Colour = tuple[int, int, int]

COLOURS: Final[Mapping[Origin, Colour]] = {
    Origin.PLAIN: (86, 180, 233),
    Origin.ACCEPTED: (0, 158, 115),
    Origin.REDRAWN: (213, 94, 0),
}
WORDS: Final[Mapping[Origin, str]] = {
    Origin.ACCEPTED: "accepted draft",
    Origin.REDRAWN: "draft refused, redrawn",
    Origin.PLAIN: "not drafted",
}
CELL: Final = 12  # pixels that a cell has at least
TINT: Final = 0.5
TICK: Final = "white"


def sheet(
    pictures: Sequence[Tensor], accounts: Sequence[Account], captions: Sequence[str], columns: int
) -> Image.Image:
    """Every picture [C,H,W] beside its cells, with a caption and its numbers, above a legend."""
    pairs = [_pair(*one) for one in zip(pictures, accounts, strict=True)]
    pixels_nCHW = torch.stack([torch.from_numpy(np.array(pair)).permute(2, 0, 1) for pair in pairs])
    texts = [f"{caption}: {_numbers(one)}" for caption, one in zip(captions, accounts, strict=True)]
    return _with_legend(grid(pixels_nCHW, columns, texts))


def overlay(pixels_CHW: Tensor, account: Account) -> Image.Image:
    """A picture in grey under the colours of its cells; a tick in front of the first code of every pass."""
    side = isqrt(len(account.origin_L))
    base = _enlarged(to_image(pixels_CHW), side)
    table = np.zeros((len(Origin), 3), dtype=np.uint8)
    for origin, colour in COLOURS.items():
        table[origin] = colour
    cells = Image.fromarray(table[account.origin_L.view(side, side).numpy()])
    tint = cells.resize(base.size, Image.Resampling.NEAREST)
    shown = Image.blend(base.convert("L").convert("RGB"), tint, TINT)
    _draw_ticks(shown, account, side)
    return shown


def _pair(pixels_CHW: Tensor, account: Account) -> Image.Image:
    coloured = overlay(pixels_CHW, account)
    pair = Image.new("RGB", (2 * coloured.width + MARGIN, coloured.height), "white")
    pair.paste(_enlarged(to_image(pixels_CHW), isqrt(len(account.origin_L))).convert("RGB"), (0, 0))
    pair.paste(coloured, (coloured.width + MARGIN, 0))
    return pair


def _draw_ticks(shown: Image.Image, account: Account, side: int) -> None:
    draw, pass_L = ImageDraw.Draw(shown), account.pass_L.tolist()
    width, height = shown.width / side, shown.height / side
    for code in range(1, len(pass_L)):
        if pass_L[code] != pass_L[code - 1]:
            left, top = code % side * width, code // side * height
            draw.line([(left, top + 1), (left, top + height - 2)], TICK)


def _enlarged(picture: Image.Image, side: int) -> Image.Image:
    """By whole factors, until its cells can be seen."""
    factor = max(1, ceil(CELL * side / min(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _numbers(account: Account) -> str:
    return f"{account.codes_per_pass:.2f} a pass, {account.acceptance:.0%} accepted"


def _with_legend(picture: Image.Image) -> Image.Image:
    """A square of every colour with its meaning, below, one under the other."""
    font, line = ImageFont.load_default(CAPTION_SIZE), CAPTION_SIZE + 4
    width = max(picture.width, ceil(max(map(font.getlength, WORDS.values()))) + 2 * line)
    whole = Image.new("RGB", (width, picture.height + line * len(WORDS) + MARGIN), "white")
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, (origin, words) in enumerate(WORDS.items()):
        top = picture.height + number * line
        draw.rectangle([(MARGIN, top), (MARGIN + CAPTION_SIZE, top + CAPTION_SIZE)], COLOURS[origin])
        draw.text((MARGIN + line, top - 1), words, "black", font)
    return whole
