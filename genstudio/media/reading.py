"""Pictures of users, read upright and brought to the square that a model works on. No torch.

Resized with Lanczos until the shorter side fits, then cropped at the centre: a picture that already has the
right size comes through untouched.
"""

from pathlib import Path

from PIL import Image, ImageOps

from genstudio.errors import GenstudioError
from genstudio.media.png import DAMAGE


def read_picture(path: Path, size: int, mode: str) -> Image.Image:
    """A picture upright, on white where it is transparent, resized and cropped to `size` x `size`.

    Raises GenstudioError for a file that is missing or no picture.
    """
    return fitted(upright(path), size, mode)


def upright(path: Path) -> Image.Image:
    """A picture as its camera meant it, in RGBA. Raises GenstudioError where it cannot be read."""
    try:
        with Image.open(path) as raw:
            return ImageOps.exif_transpose(raw).convert("RGBA")
    except DAMAGE as error:
        raise GenstudioError(
            f"{path} is no picture that can be read ({error}).", "Remove or replace it."
        ) from error


def fitted(
    picture: Image.Image, size: int, mode: str, resample: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """An RGBA picture on white, in `mode`, resized and cropped to `size` x `size`."""
    white = Image.new("RGBA", picture.size, "white")
    return ImageOps.fit(Image.alpha_composite(white, picture).convert(mode), (size, size), resample)
