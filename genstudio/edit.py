"""What of a given picture is kept and what is made anew, as a value (zero-shot editing by VAR and MAR).

The mask is white where the picture is made anew and black where it is kept, or the other way round with
`outside`. Files are named by path and hash, so that a picture's metadata can make it again as long as they
are there. No torch: mistakes are told before weights are loaded. What the walk does with it: `editing`.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps, ImageStat
from pydantic import TypeAdapter

from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.media.reading import fitted, upright
from genstudio.releases.release import Release

COLOURED: Final = 8  # levels between the channels of a mask that compression alone does not make
SIDES: Final = "White is made anew, black is kept."


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """The picture, the mask, and which side of it is made anew.

    Without `paste` kept places keep their codes, and the decoder, which sees its neighbourhood, draws them
    again; with it their pixels are put back afterwards, mixed where the mask is grey.
    """

    image: Source
    mask: Source
    outside: bool = False
    paste: bool = False

    def check(self) -> None:
        """Raises GenstudioError for files that are not there, not the same, or do not fit each other."""
        picture, mask = _read(self.image), _read(self.mask)
        if mask.size != picture.size:
            raise GenstudioError(
                f"{self.mask.path} is {_extent(mask)}, but {self.image.path} is {_extent(picture)}.",
                f"Give a mask of the picture's size. {SIDES}",
            )
        levels_HW4 = np.asarray(mask, dtype=np.int16)
        if np.ptp(levels_HW4[..., :3], axis=-1).max() > COLOURED or levels_HW4[..., 3].min() < 255:
            raise GenstudioError(
                f"{self.mask.path} has colours or transparent places, so it is no mask.",
                f"Save it in grey, without transparency. {SIDES}",
            )

    def picture(self, size: int, channels: int) -> Image.Image:
        """The given picture as a model of that many pixels and channels sees it."""
        return fitted(_read(self.image), size, "RGB" if channels == 3 else "L")

    def anew(self, size: int) -> Image.Image:
        """In grey, cropped as the picture: 255 where it is made anew, 0 where it is kept."""
        mask = fitted(_read(self.mask), size, "L", Image.Resampling.BOX)
        return ImageOps.invert(mask) if self.outside else mask

    def moved(self, image: Path | None, mask: Path | None) -> "Edit":
        """The same edit with its files in other places."""
        image_source = replace(self.image, path=str(image)) if image else self.image
        mask_source = replace(self.mask, path=str(mask)) if mask else self.mask
        return replace(self, image=image_source, mask=mask_source)

    def describe(self) -> str:
        """For people: "white of mask.png anew in shirt.png"."""
        side = "black" if self.outside else "white"
        return f"{side} of {self.mask.name} anew in {self.image.name}"

    def explain(self, size: int) -> str:
        """How the picture is brought to `size`, and how much of it is made anew."""
        share = ImageStat.Stat(self.anew(size)).mean[0] / 255
        extent = _extent(_read(self.image))
        return f"{self.image.path}, {extent}, cropped and resized to {size}x{size}; {share:.0%} is made anew"

    def facts(self) -> dict[str, Any]:
        """For a picture's metadata."""
        return asdict(self)


def choose_edit(
    release: Release,
    image: Path | str | None = None,
    mask: Path | str | None = None,
    outside: bool = False,
    paste: bool = False,
) -> Edit | None:
    """What `--image`, `--mask`, `--outside` and `--paste` mean for a generator; None where nothing is edited.

    Raises GenstudioError for files that cannot be used, and for a model that makes codes one by one.
    """
    if image is None or mask is None:
        if image is not None or mask is not None or outside or paste:
            raise GenstudioError("An edit needs a picture and a mask.", f"Give --image and --mask. {SIDES}")
        return None
    if getattr(release.config, "sizes", None) is None and release.config.kind != "mar":
        raise GenstudioError(
            f"{release.name} is not made scale by scale or in any order, so it keeps no part of a picture.",
            "Choose a next-scale or masked model: genstudio models.",
        )
    picture, grey = (Source.of(Path(file), "Give a picture.") for file in (image, mask))
    edit = Edit(image=picture, mask=grey, outside=outside, paste=paste)
    edit.check()
    return edit


def edit_from(facts: dict[str, Any] | None) -> Edit | None:
    """The edit that metadata holds. Raises pydantic.ValidationError."""
    return None if facts is None else TypeAdapter(Edit).validate_python(facts)


def _read(source: Source) -> Image.Image:
    """Upright, in RGBA. Raises GenstudioError where the file is gone, changed or damaged."""
    return upright(source.found("Say where it is: --image FILE, --mask FILE."))


def _extent(picture: Image.Image) -> str:
    return f"{picture.width}x{picture.height}"
