"""Pictures as escape codes: what a terminal decodes is what was made."""

import re

import numpy as np
import pytest
from PIL import Image
from rich.color import ColorSystem

from genstudio.media import inline
from tests.media import decoders


def picture(height: int = 20, width: int = 14, colours: int = 60) -> Image.Image:
    random = np.random.default_rng(0)
    palette = random.integers(0, 256, (colours, 3), dtype=np.uint8)
    return Image.fromarray(palette[random.integers(0, colours, (height, width))])


def test_kitty_gets_the_exact_pixels_in_chunks() -> None:
    made = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    text = inline.kitty(made, rows=6, number=77)
    keys, seen = decoders.kitty(text)
    assert text.count("\x1b_G") > 1 and np.array_equal(np.asarray(seen), np.asarray(made))
    assert keys == {"a": "T", "f": "100", "i": "77", "p": "1", "r": "6", "C": "1", "q": "2", "m": "1"}


def test_iterm2_gets_the_exact_pixels() -> None:
    keys, seen = decoders.iterm2(inline.iterm2(picture(), rows=3))
    assert np.array_equal(np.asarray(seen), np.asarray(picture()))
    assert keys["inline"] == "1" and keys["height"] == "3" and keys["preserveAspectRatio"] == "1"


@pytest.mark.parametrize(("height", "width"), [(20, 14), (6, 1), (1, 9), (13, 40)])
def test_sixel_draws_every_pixel_to_a_hundredth_of_its_colour(height: int, width: int) -> None:
    made = picture(height, width)
    seen = decoders.sixel(inline.sixel(made))
    assert seen.min() >= 0
    assert np.abs(seen - np.asarray(made)).max() <= 2


def test_sixel_repeats_and_stays_within_256_colours() -> None:
    flat = inline.sixel(Image.new("RGB", (500, 60), "red"))
    assert len(flat) < 300 and np.array_equal(np.unique(decoders.sixel(flat)), [0, 255])
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    text = inline.sixel(noise)
    assert len(re.findall(r"#\d+;2;", text)) <= 256
    assert np.abs(decoders.sixel(text) - np.asarray(noise)).mean() < 20


def test_half_blocks_are_two_exact_pixels_each() -> None:
    made = picture(10, 7)
    text = inline.blocks(made, ColorSystem.TRUECOLOR)
    assert text.count("▀") == 5 * 7
    assert np.array_equal(decoders.blocks(text), np.asarray(made))
    assert inline.blocks(Image.new("RGB", (50, 2), "red"), ColorSystem.TRUECOLOR).count("38;2;") == 1


def test_half_blocks_in_fewer_colours() -> None:
    text = inline.blocks(Image.new("RGB", (1, 2), (255, 0, 0)), ColorSystem.EIGHT_BIT)
    assert text == "\x1b[38;5;196;48;5;196m▀\x1b[0m"
    text = inline.blocks(Image.new("RGB", (1, 2), (255, 0, 0)), ColorSystem.STANDARD)
    assert text == "\x1b[31;41m▀\x1b[0m"
