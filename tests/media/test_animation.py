"""Animations: frames, durations, loops, exact pixels, equal bytes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from genstudio.errors import GenstudioError
from genstudio.media.animation import FRAME, LAST, Format, save_animation

FORMATS: tuple[Format, ...] = ("gif", "webp")


def frames(mode: str = "L", size: int = 16, count: int = 5) -> list[Image.Image]:
    shape = (count, size, size) if mode == "L" else (count, size, size, 3)
    return [Image.fromarray(one) for one in np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)]


def shown(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """What a viewer sees, and for how long."""
    with Image.open(path) as opened:
        whole = [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)]
        opened.seek(0)
        lengths = []
        for i in range(opened.n_frames):
            opened.seek(i)
            opened.load()
            lengths.append(opened.info["duration"])
    return [np.asarray(frame) for frame in whole], lengths


@pytest.mark.parametrize("format_", FORMATS)
def test_every_step_is_a_frame_and_the_last_is_held(format_: Format, tmp_path: Path) -> None:
    path = tmp_path / f"a.{format_}"
    save_animation(path, frames(), format_)
    seen, lengths = shown(path)
    assert len(seen) == 5 and lengths == [FRAME] * 4 + [LAST]
    with Image.open(path) as opened:
        assert opened.format == format_.upper() and opened.info["loop"] == 0


@pytest.mark.parametrize(("format_", "mode"), [("gif", "L"), ("webp", "L"), ("webp", "RGB")])
def test_pixels_are_exact_and_enlarged_by_repetition(format_: Format, mode: str, tmp_path: Path) -> None:
    made = frames(mode, size=32)
    save_animation(tmp_path / "a", made, format_)
    for frame, seen in zip(made, shown(tmp_path / "a")[0], strict=True):
        assert np.array_equal(np.asarray(frame.convert("RGB")).repeat(2, 0).repeat(2, 1), seen)


def test_colours_of_a_gif_are_near(tmp_path: Path) -> None:
    """A smooth picture, as pictures are: 256 colours of 4,096 are enough to come close."""
    ramp = np.stack(np.meshgrid(np.arange(64) * 4, np.arange(64) * 4, indexing="ij"), -1)
    picture = Image.fromarray(np.concatenate([ramp, ramp[..., :1] // 2], -1).astype(np.uint8))
    save_animation(tmp_path / "a.gif", [picture.rotate(90 * turn) for turn in range(3)], "gif")
    seen, _ = shown(tmp_path / "a.gif")
    error = np.abs(seen[0].astype(int) - np.asarray(picture).astype(int))
    assert len(seen) == 3 and error.mean() < 6


@pytest.mark.parametrize("format_", FORMATS)
def test_equal_frames_give_equal_bytes(format_: Format, tmp_path: Path) -> None:
    for name in "ab":
        save_animation(tmp_path / name, frames("RGB"), format_)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_picture_that_stands_still_keeps_its_time(format_: Format, tmp_path: Path) -> None:
    one, other = frames(count=2)
    save_animation(tmp_path / "a", [one, one, other, other], format_)
    assert sum(shown(tmp_path / "a")[1]) == 3 * FRAME + LAST


def test_one_frame_is_an_animation_too(tmp_path: Path) -> None:
    save_animation(tmp_path / "a.gif", frames(count=1), "gif")
    assert len(shown(tmp_path / "a.gif")[0]) == 1


def test_a_pillow_without_webp_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(GenstudioError, match="writes no WebP"):
        save_animation(tmp_path / "a.webp", frames(), "webp")
    assert not list(tmp_path.iterdir())
