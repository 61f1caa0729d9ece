"""What `genstudio sample` shows and animates: in a terminal, in files, and nothing in a pipe."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.cli import outputs
from genstudio.errors import Exit
from tests.media import decoders
from tests.support import genstudio


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def last_frame(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        opened.seek(opened.n_frames - 1)
        return np.asarray(opened.convert("RGB"))


@pytest.mark.parametrize("format_", ["gif", "webp"])
def test_one_animation_per_picture_and_one_of_the_grid(format_: str, tiny_var: str, tmp_path: Path) -> None:
    ran = genstudio("sample", tiny_var, "-c", "1,2", "-o", tmp_path, "--animate", format_, "--json")
    names = sorted(path.name for path in (tmp_path / tiny_var).iterdir())
    stems = ["001-000000", "002-000001", "grid-000000-000001"]
    assert names == [f"{stem}.{suffix}" for stem in stems for suffix in sorted((format_, "png"))]
    for entry in ran.data["pictures"]:
        with Image.open(entry["animation"]) as opened:
            assert opened.n_frames == 3 and opened.size == (64, 64)
    assert ran.data["grid_animation"].endswith(f"grid-000000-000001.{format_}")
    if format_ == "webp":
        made = pixels(tmp_path / tiny_var / "001-000000.png")
        assert np.array_equal(
            last_frame(Path(ran.data["pictures"][0]["animation"])), made.repeat(8, 0).repeat(8, 1)
        )
        assert np.array_equal(last_frame(Path(ran.data["grid_animation"])), pixels(Path(ran.data["grid"])))


def test_animations_are_made_again_byte_for_byte(tiny_var: str, tmp_path: Path) -> None:
    runs = [
        genstudio("sample", tiny_var, "-n", "3", "-o", tmp_path / turn, "--animate", "gif", "--json").data
        for turn in "ab"
    ]
    first, second = (Path(run["grid_animation"]).read_bytes() for run in runs)
    assert first == second


def test_frames_beside_folders_and_of_replays(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-c", "1", "-n", "3", "--batch", "3", "-o", tmp_path / "a")
    source, steps = tmp_path / "a" / tiny_var / "001-000001.png", tmp_path / "steps"
    ran = genstudio(
        "sample", "--from", source, "-o", tmp_path / "b", "--preview", steps, "--animate", "webp", "--json"
    )
    assert len(list(steps.iterdir())) == 3 and len(ran.data["pictures"]) == 1
    assert np.array_equal(last_frame(Path(ran.data["pictures"][0]["animation"]))[::8, ::8], pixels(source))


def test_the_last_frame_is_the_chosen_candidate(tiny_var: str, tiny_judge: str, tmp_path: Path) -> None:
    judged = ("--best-of", "3", "--judge", tiny_judge, "--animate", "webp", "-o", tmp_path, "--json")
    ran = genstudio("sample", tiny_var, "-n", "4", *judged)
    for entry in ran.data["pictures"]:
        assert np.array_equal(last_frame(Path(entry["animation"]))[::8, ::8], pixels(Path(entry["file"])))
    assert np.array_equal(last_frame(Path(ran.data["grid_animation"])), pixels(Path(ran.data["grid"])))


def test_large_grids_stand_still(tiny_var: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MOST_ANIMATED", 3)
    ran = genstudio("sample", tiny_var, "-n", "4", "--animate", "gif", "-o", tmp_path)
    assert "up to 3 pictures are animated" in ran.err
    assert len(list((tmp_path / tiny_var).glob("*.gif"))) == 4


def test_grids_without_captions(tiny_var: str, tmp_path: Path) -> None:
    run = ("sample", tiny_var, "-c", "1,2", "--json", "-o")
    with_, without = (
        Path(genstudio(*run, tmp_path / flag, flag).data["grid"]) for flag in ("--captions", "--no-captions")
    )
    assert pixels(without).shape[0] < pixels(with_).shape[0]


def test_a_pipe_gets_a_note_and_no_escape_codes(tiny_var: str, tmp_path: Path) -> None:
    ran = genstudio("sample", tiny_var, "-c", "1", "-o", tmp_path, "--preview", "inline:kitty")
    assert ran.code == Exit.OK and "stderr is no terminal" in ran.err
    assert "\x1b" not in ran.out + ran.err
    assert not Path("inline:kitty").exists()


def test_an_unknown_way_of_showing_is_refused_before_loading(tiny_var: str, tmp_path: Path) -> None:
    ran = genstudio("sample", tiny_var, "-o", tmp_path, "--preview", "inline:ascii")
    assert ran.code == Exit.USAGE and "kitty, iterm2, sixel, blocks" in ran.err


def test_every_step_is_drawn_in_a_terminal(tiny_var: str, tmp_path: Path, home: Path) -> None:
    """A real pseudo-terminal on stderr; stdout stays free of codes."""
    seen, out = in_terminal(
        ["sample", tiny_var, "-c", "1,2", "-o", str(tmp_path), "--preview", "inline", "--json"], home
    )
    assert "\x1b" not in out and out.startswith("{")
    shows = [part.split("\x1b8")[0] for part in seen.split("\x1b7")[1:]]
    assert len(shows) == 4  # three scales, then all pictures
    assert len({decoders.kitty(show)[0]["i"] for show in shows}) == 1
    size = decoders.kitty(shows[0])[1].size
    assert size == (2 * 134, 9 * 16)  # two cells of 64 and margins, twice as large, in whole lines
    assert re.search(r"pictures: 2 of 2", seen)


def in_terminal(words: list[str], home: Path) -> tuple[str, str]:
    """Run a command with stderr on a kitty of 80 x 24 cells; what the terminal and stdout got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 640, 384))
    environment = {**os.environ, "TERM": "xterm-kitty", "GENSTUDIO_HOME": str(home)}
    ran = subprocess.Popen(
        [sys.executable, "-m", "genstudio", *words], stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    seen = io.BytesIO()
    try:
        while data := os.read(ours, 1 << 16):
            seen.write(data)
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    out, _ = ran.communicate(timeout=60)
    assert ran.returncode == Exit.OK, seen.getvalue()
    return seen.getvalue().decode(), out.decode()
