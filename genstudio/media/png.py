"""PNG files that say how they were made, and can be made again from what they say.

Two text chunks: `genstudio` holds the whole run spec as JSON (`genstudio sample --from FILE` replays it), and
`parameters` holds it as one line for people and for other programs' metadata viewers. No torch at import:
`genstudio info` reads files only.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from genstudio.errors import GenstudioError
from genstudio.files import write

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = "genstudio"
READABLE_CHUNK = "parameters"
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises


def to_image(pixels_CHW: "Tensor") -> Image.Image:
    """uint8 [1,H,W] or [3,H,W] as a Pillow picture."""
    array = pixels_CHW.cpu().numpy()
    return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))


def save_png(
    path: Path,
    picture: "Tensor | Image.Image",
    spec: Mapping[str, Any] | None = None,
    *,
    fresh: bool = False,
) -> Path:
    """Write a picture (uint8 [C,H,W] or Pillow's) atomically, with its run spec where one is given.

    Returns its name: that of a `fresh` file gets a number where `path` is taken. Raises GenstudioError when
    the disk is full or the folder cannot be written; nothing half-written stays.
    """
    chunks = PngImagePlugin.PngInfo()
    if spec is not None:
        chunks.add_text(CHUNK, json.dumps(spec))
        chunks.add_text(READABLE_CHUNK, readable(spec))
    image = picture if isinstance(picture, Image.Image) else to_image(picture)
    return write(path, partial(image.save, format="PNG", pnginfo=chunks), fresh)


def read_spec(path: Path) -> dict[str, Any]:
    """The run spec that `save_png` wrote into a file.

    Raises GenstudioError when the file is missing, damaged, no PNG, or holds no spec of ours.
    """
    if not path.is_file():
        raise GenstudioError(f"There is no file {path}.", "Give a PNG that genstudio wrote.")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = image.info.get(CHUNK)
    except DAMAGE as error:
        raise GenstudioError(
            f"{path} is no PNG that can be read ({error}).", "Give a whole PNG that genstudio wrote."
        ) from error
    if not isinstance(text, str):
        raise GenstudioError(
            f"{path} does not say how it was made.",
            "Give a PNG as genstudio wrote it: other programs drop this.",
        )
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise GenstudioError(
            f"The run spec in {path} is damaged.", "Give the PNG as genstudio wrote it."
        ) from error


def readable(spec: Mapping[str, Any]) -> str:
    """A spec on one line, "key: value, key: value", nested keys joined by dots, nothing for None."""
    return ", ".join(f"{key}: {value}" for key, value in _flat(spec))


def _flat(spec: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in spec.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        elif value is not None:
            pairs.append((f"{prefix}{key}", value))
    return pairs
