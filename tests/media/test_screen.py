"""One place in the terminal, drawn over and over: where it stands, how large, what is left behind."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from genstudio.errors import GenstudioError
from genstudio.media import screen as module
from genstudio.media.screen import CUT, END, Screen, open_screen, placed
from genstudio.media.terminal import Extent
from tests.media import decoders

ROOM = Extent(columns=80, lines=24, cell=(8, 16))


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "extent", lambda stream: ROOM)
    monkeypatch.setenv("COLORTERM", "truecolor")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def drawn(before: str, after: str) -> str:
    return after[len(before) :]


def test_small_pictures_are_enlarged_by_whole_factors() -> None:
    sheet = np.asarray(placed(picture(66, 40), ROOM))
    assert sheet.shape == (4 * 40, 4 * 66, 3)  # 160 of the 352 pixels that are free; 5 times would pass half
    assert np.array_equal(sheet[::4, ::4], np.asarray(picture(66, 40)))


def test_large_pictures_fit_and_keep_their_shape() -> None:
    wide, tall = placed(picture(1280, 100), ROOM), placed(picture(100, 3520), ROOM)
    assert wide.size == (640, 64) and tall.size == (10, 352)  # 50 pixels, white down to four whole lines
    assert np.asarray(wide)[50:].min() == 255


def test_half_blocks_take_the_same_rule_with_their_own_pixels() -> None:
    assert placed(picture(16, 9), ROOM._replace(cell=(1, 2))).size == (32, 18)


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel", "blocks"])
def test_the_same_place_is_drawn_over(protocol: str) -> None:
    stream = Terminal()
    with Screen(stream, protocol) as screen:  # type: ignore[arg-type]
        screen.show(picture(64, 64), "1 of 2")
        first = stream.getvalue()
        screen.show(picture(64, 64), "2 of 2")
        second = drawn(first, stream.getvalue())
    rows = 8 if protocol != "blocks" else 22
    assert first.startswith("\r\x1b[J" + "\n" * rows + f"\r\x1b[{rows}A\x1b7")
    assert first.endswith(f"\x1b8\x1b[{rows}B\r1 of 2\x1b[K")
    assert second.startswith(f"\r\x1b[{rows}A\x1b7") and second.endswith("2 of 2\x1b[K")
    assert stream.getvalue().endswith(END)


def test_another_size_clears_the_place_and_makes_a_new_one() -> None:
    stream = Terminal()
    screen = Screen(stream, "iterm2")
    screen.show(picture(64, 64), "")
    before = stream.getvalue()
    screen.show(picture(64, 100), "")
    assert drawn(before, stream.getvalue()).startswith("\r\x1b[8A\x1b[J" + "\n" * 7 + "\r\x1b[7A\x1b7")


def test_what_is_drawn_is_the_picture() -> None:
    stream = Terminal()
    Screen(stream, "blocks").show(picture(20, 20), "")
    code = stream.getvalue().split("\x1b7")[1].split("\x1b8")[0]
    assert np.array_equal(decoders.blocks(code), np.asarray(picture(20, 20)))
    stream = Terminal()
    Screen(stream, "kitty").show(picture(64, 64), "")
    keys, seen = decoders.kitty(stream.getvalue().split("\x1b7")[1].split("\x1b8")[0])
    assert keys["r"] == "8" and np.array_equal(np.asarray(seen)[::2, ::2], np.asarray(picture(64, 64)))


def test_kitty_replaces_the_picture_of_this_run() -> None:
    stream = Terminal()
    screen = Screen(stream, "kitty")
    for _ in range(2):
        screen.show(picture(8, 8), "")
    codes = [part.split("\x1b8")[0] for part in stream.getvalue().split("\x1b7")[1:]]
    assert len({decoders.kitty(code)[0]["i"] for code in codes}) == 1


def test_status_never_wraps() -> None:
    stream = Terminal()
    Screen(stream, "iterm2").show(picture(8, 8), "x" * 500)
    assert "x" * 79 in stream.getvalue() and "x" * 80 not in stream.getvalue()


def test_others_write_below_and_the_next_picture_stands_below_them() -> None:
    stream = Terminal()
    screen = Screen(stream, "iterm2")
    screen.show(picture(64, 64), "")
    screen.leave()
    before = stream.getvalue()
    screen.show(picture(64, 64), "")
    assert before.endswith(END) and drawn(before, stream.getvalue()).startswith("\r\x1b[J" + "\n" * 8)


def test_an_interrupted_picture_is_ended() -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Screen(stream, "sixel") as screen:
        screen.show(picture(8, 8), "")
        raise KeyboardInterrupt
    assert stream.getvalue().endswith(CUT + END)


def test_nothing_shown_leaves_nothing() -> None:
    stream = Terminal()
    with Screen(stream, "kitty"):
        pass
    assert stream.getvalue() == ""


def test_a_pipe_gets_no_screen_even_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert open_screen() is None and open_screen("sixel") is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    found = open_screen("sixel")
    assert found is not None and found.protocol == "sixel"


def test_an_unknown_way_is_named() -> None:
    with pytest.raises(GenstudioError, match="'ascii'") as caught:
        open_screen("ascii")
    assert "kitty, iterm2, sixel, blocks" in caught.value.hint
