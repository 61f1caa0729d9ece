"""Pictures in the making: one frame per step, as an animated GIF or WebP.

WebP is lossless; a GIF has 256 colours a frame, which grey pictures do not feel. Frames are enlarged as in a
grid. Equal neighbours may be stored as one frame of their common length. The same frames give the same bytes.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image, features

from genstudio.errors import GenstudioError
from genstudio.files import write
from genstudio.media.grid import enlarged

Format = Literal["gif", "webp"]

FRAME: Final = 250  # milliseconds
LAST: Final = 2000  # of the finished picture, before it begins again


def save_animation(
    path: Path, frames: Sequence[Image.Image], format_: Format, *, fresh: bool = False
) -> Path:
    """Write frames of equal size as an endless animation, atomically; the last one is held.

    Returns its name: that of a `fresh` file gets a number where `path` is taken. Raises GenstudioError where
    the place cannot be written, and for WebP where Pillow was built without it.
    """
    if format_ == "webp" and not features.check("webp"):
        raise GenstudioError(
            "This Pillow writes no WebP.", "Give --animate gif, or install Pillow with WebP."
        )
    first, *rest = map(enlarged, frames)
    options: dict[str, Any] = {"lossless": True} if format_ == "webp" else {}
    durations = [FRAME] * len(rest) + [LAST]
    moving: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    return write(path, partial(first.save, format=format_, **moving, **options), fresh)
