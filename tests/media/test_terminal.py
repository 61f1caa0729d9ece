"""Which pictures a terminal can show: by name, or by its answer on a real pseudo-terminal."""

import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from genstudio.media.terminal import PATIENCE, Protocol, attributes, protocol_of, recognise


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230804"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "210400"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, None),
        ({"TERM": "screen.xterm-256color", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
    ],
)
def test_terminals_are_known_by_what_they_say(environment: dict[str, str], protocol: Protocol | None) -> None:
    assert recognise(environment) == protocol


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("\x1b[?62;4;22c", ["4", "22"]),
        ("\x1b[?64;1;2;4c", ["1", "2", "4"]),
        ("\x1b[?6c", []),
        ("", []),
        ("\x1b[?4", []),
    ],
)
def test_attributes_are_what_follows_the_kind_of_terminal(answer: str, found: list[str]) -> None:
    assert attributes(answer) == found


def test_a_pipe_shows_nothing() -> None:
    assert protocol_of(io.StringIO(), {"TERM": "xterm-kitty"}) is None


ASK = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # as a shell does: the terminal is this process's own
sys.stderr = open(os.dup(0), "w", encoding=os.environ["ENCODING"])
from genstudio.media.terminal import protocol_of
print(protocol_of(sys.stderr, os.environ))
"""


@contextmanager
def terminal(answer: bytes) -> Iterator[int]:
    """A pseudo-terminal that answers a question for its attributes."""
    ours, theirs = pty.openpty()

    def talk() -> None:
        seen = b""
        while not seen.endswith(b"\x1b[c"):
            try:
                seen += os.read(ours, 64)
            except OSError:
                return
        os.write(ours, answer)

    threading.Thread(target=talk, daemon=True).start()
    yield theirs
    os.close(theirs)
    os.close(ours)


def asked(answer: bytes, **environment: str) -> str:
    """What a process in that terminal finds."""
    settings = {"TERM": "xterm-256color", "ENCODING": "utf-8", **environment}
    with terminal(answer) as theirs:
        ran = subprocess.run(
            [sys.executable, "-c", ASK],
            stdin=theirs,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], **settings},
            start_new_session=True,
            timeout=30,
        )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_terminal_that_has_sixel_says_so() -> None:
    assert asked(b"\x1b[?62;4;22c") == "sixel"


def test_a_terminal_without_gets_half_blocks() -> None:
    assert asked(b"\x1b[?62;22c") == "blocks"


def test_silence_is_a_no_soon() -> None:
    assert PATIENCE <= 1 and asked(b"") == "blocks"


def test_a_terminal_that_is_known_is_not_asked() -> None:
    assert asked(b"\x1b[?62;4;22c", TERM="xterm-kitty") == "kitty"


@pytest.mark.parametrize("setting", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"ENCODING": "ascii"}])
def test_no_colours_or_no_blocks_is_no_picture(setting: dict[str, str]) -> None:
    assert asked(b"\x1b[?62;22c", **setting) == "None"
