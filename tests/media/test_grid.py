"""Grids: size, places, enlargement, captions."""

import pytest
import torch
from PIL import Image, ImageOps

from genstudio.errors import GenstudioError
from genstudio.media.grid import MARGIN, caption_height, grid


def flat(levels: list[int], size: int, channels: int = 1) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, channels, size, size)


def test_small_pictures_are_enlarged_and_stand_in_reading_order() -> None:
    sheet = grid(flat([10, 20, 30], 32), columns=2)
    assert sheet.size == (2 * 64 + 3 * MARGIN, 2 * 64 + 3 * MARGIN)
    step = 64 + MARGIN
    for x, y, level in ((0, 0, 10), (1, 0, 20), (0, 1, 30), (1, 1, 255)):
        corner = (MARGIN + x * step, MARGIN + y * step)
        assert sheet.getpixel(corner) == (level,) * 3
        assert sheet.getpixel((corner[0] + 63, corner[1] + 63)) == (level,) * 3
    assert sheet.getpixel((0, 0)) == (255, 255, 255)


def test_enlarging_repeats_pixels() -> None:
    pixels = torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8)
    sheet = grid(pixels, columns=1)
    for y in range(20):
        assert sheet.getpixel((MARGIN + 4 * 5 + 3, MARGIN + 4 * y + 1)) == tuple(pixels[0, :, y, 5].tolist())


def test_large_pictures_keep_their_size_and_columns_shrink_to_the_count() -> None:
    assert grid(flat([1], 256, channels=3), columns=8).size == (256 + 2 * MARGIN, 256 + 2 * MARGIN)


def test_captions_are_drawn_below_and_stay_inside_their_cell() -> None:
    plain = grid(flat([255, 255], 64), columns=2)
    captioned = grid(flat([255, 255], 64), columns=2, captions=["a very long caption " * 5, ""])
    assert captioned.height == plain.height + caption_height(2)
    left, top, right, bottom = captioned.convert("L").point(lambda level: 255 - level).getbbox() or (0,) * 4
    assert top >= MARGIN + 64 and left >= MARGIN and right <= MARGIN + 64 and bottom <= captioned.height


def ink(sheet: Image.Image, top: int, bottom: int) -> tuple[int, int, int, int] | None:
    """Where something dark stands between two rows of a sheet."""
    return ImageOps.invert(sheet.convert("L").crop((0, top, sheet.width, bottom))).getbbox()


def test_long_names_take_a_second_line_that_breaks_where_words_do() -> None:
    cell = MARGIN + 64
    for text, lines in (("7 Bag", 1), ("12 Ankle boot", 2), ("3 animal-mammal", 2)):
        sheet = grid(flat([255], 64), columns=1, captions=[text])
        assert sheet.height == cell + MARGIN + caption_height(lines), text
        first, second = ink(sheet, cell, cell + 15), ink(sheet, cell + 15, sheet.height)
        assert first is not None and (second is not None) == (lines == 2)
    wide = grid(flat([255], 256), columns=1, captions=["12 American Staffordshire Terrier"])
    assert wide.height == 256 + 2 * MARGIN + caption_height(1)


def test_one_long_caption_makes_room_in_every_row_alike() -> None:
    sheet = grid(flat([255] * 3, 64), columns=1, captions=["1", "12 Ankle boot", ""])
    assert sheet.height == 3 * (64 + MARGIN + caption_height(2)) + MARGIN


def test_nothing_to_show_and_a_wrong_number_of_captions() -> None:
    with pytest.raises(GenstudioError, match="at least one picture"):
        grid(flat([], 32), columns=2)
    with pytest.raises(ValueError, match="1 captions for 2"):
        grid(flat([1, 2], 32), columns=2, captions=["one"])
