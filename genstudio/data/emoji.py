"""Noto Color Emoji (Apache-2.0 / OFL): some 3,600 pictures with their Unicode names as captions.

Drawn by Pillow from the colour font at its one size, 109, on white. The list, names, groups and subgroups
come from Unicode's emoji-test.txt; subgroups are the classes. The test split is a hashed tenth of the
compositions (skin tones, hair, gender, professions): captions whose parts are all seen in training, but not
together, so that generalisation from text can be told from memory.
"""

import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont, features
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from genstudio.data.attributes import ATTRIBUTES, answer_indices
from genstudio.data.pictures import Indices, Split, as_index
from genstudio.errors import GenstudioError

FONT = "NotoColorEmoji.ttf"
LIST = "emoji-test.txt"
DEBIAN_FILES = {
    FONT: (Path("/usr/share/fonts/truetype/noto"), "fonts-noto-color-emoji"),
    LIST: (Path("/usr/share/unicode/emoji"), "unicode-data"),
}
FONT_SIZE = 109  # the only size of the font's bitmaps
CANVAS = (136, 136)  # the bitmaps are 136 wide and 128 high
SKIN_TONES = range(0x1F3FB, 0x1F400)
HAIR = range(0x1F9B0, 0x1F9B4)
GENDER_SIGNS = (0x2640, 0x2642)
PEOPLE = (0x1F468, 0x1F469, 0x1F9D1)  # man, woman, person: the head of a joined sequence
JOINER = 0x200D
LINE = re.compile(r"(?P<points>[0-9A-F ]+?) *; fully-qualified +# \S+ E[\d.]+ (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One emoji: its code points as a string, its Unicode name, and where the list files it."""

    text: str
    name: str
    group: str
    subgroup: str

    @property
    def composed(self) -> bool:
        """Whether the picture combines parts that other emoji show too (tone, hair, gender, profession)."""
        points = [ord(letter) for letter in self.text]
        toned = any(point in SKIN_TONES or point in HAIR or point in GENDER_SIGNS for point in points[1:])
        return toned or (points[0] in PEOPLE and JOINER in points)

    @property
    def split(self) -> Split:
        """Test for a tenth of the compositions, by a hash of the name, which no other emoji influences."""
        bucket = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big") % 10
        return "test" if self.composed and bucket == 0 else "train"


class Emoji:
    """Emoji drawn when first asked for; `fingerprint` hashes font, texts, subgroups, names and size."""

    attributes = ATTRIBUTES

    def __init__(
        self, entries: list[Entry], classes: tuple[str, ...], font: bytes, pixels: int, channels: int
    ) -> None:
        self.entries = entries
        self.classes = classes
        self._font = _load_font(font)
        self._drawn: dict[int, Tensor] = {}
        self._size = pixels
        self._mode = "RGB" if channels == 3 else "L"
        self._labels_N = torch.tensor([classes.index(entry.subgroup) for entry in entries])
        self._answers_NQ = torch.tensor([answer_indices(entry.name) for entry in entries])
        content = hashlib.sha256(font)
        lines = (f"{entry.text} {entry.subgroup} {entry.name}" for entry in entries)
        content.update("\n".join(lines).encode())
        self.fingerprint = f"{content.hexdigest()[:32]}-{channels}x{pixels}"

    def __len__(self) -> int:
        return len(self.entries)

    def pixels(self, indices: Indices) -> Tensor:
        """The pictures at these indices, uint8 [n,C,H,W]."""
        return torch.stack([self._picture(index) for index in as_index(indices).tolist()])

    def labels(self, indices: Indices) -> Tensor:
        """The subgroups at these indices, int64 [n]."""
        return self._labels_N[as_index(indices)]

    def answers(self, indices: Indices) -> Tensor:
        """Skin tone, gender and hair at these indices, as far as the names tell, int64 [n,3]."""
        return self._answers_NQ[as_index(indices)]

    def captions(self, indices: Indices) -> list[str]:
        """The Unicode names at these indices, e.g. "man firefighter: medium skin tone"."""
        return [self.entries[index].name for index in as_index(indices).tolist()]

    def _picture(self, index: int) -> Tensor:
        if index not in self._drawn:
            large = Image.new("RGB", CANVAS, "white")
            left_top = (0, (CANVAS[1] - 128) // 2)
            ImageDraw.Draw(large).text(
                left_top, self.entries[index].text, font=self._font, embedded_color=True
            )
            small = large.resize((self._size, self._size), Image.Resampling.LANCZOS)
            self._drawn[index] = pil_to_tensor(small.convert(self._mode))
        return self._drawn[index]


def open_emoji(folder: Path | None, split: Split, pixels: int, channels: int) -> Emoji:
    """One split of the emoji, from font and list in `folder`, else $GENSTUDIO_DATA/emoji, else where Debian
    installs them. Raises GenstudioError when a file is missing or of another kind."""
    font_path, list_path = _find(FONT, folder), _find(LIST, folder)
    entries, font = read_list(list_path), font_path.read_bytes()
    try:
        drawing = _load_font(font)
    except OSError as error:
        raise GenstudioError(
            f"{font_path} is no colour font of size {FONT_SIZE} ({error}).",
            "Install the Debian package fonts-noto-color-emoji.",
        ) from error
    shown = [entry for entry in entries if _is_one_glyph(drawing, entry.text)]
    classes = tuple(dict.fromkeys(entry.subgroup for entry in shown))
    return Emoji([entry for entry in shown if entry.split == split], classes, font, pixels, channels)


def read_list(path: Path) -> list[Entry]:
    """The fully qualified emoji of an emoji-test.txt, in its order."""
    entries, group, subgroup = [], "", ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.removeprefix("# group:").strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.removeprefix("# subgroup:").strip()
        elif found := LINE.match(line):
            text = "".join(chr(int(point, 16)) for point in found["points"].split())
            entries.append(Entry(text, found["name"], group, subgroup))
    if not entries:
        raise GenstudioError(f"{path} lists no emoji.", "Give Unicode's emoji-test.txt.")
    return entries


def _load_font(content: bytes) -> ImageFont.FreeTypeFont:
    """From memory: for a path that it cannot read, Pillow searches the system for a font of that name."""
    if not features.check("raqm"):
        raise GenstudioError(
            "This Pillow cannot join emoji sequences: it has no raqm.", "Install Pillow's wheel, or libraqm."
        )
    return ImageFont.truetype(io.BytesIO(content), FONT_SIZE)


def _is_one_glyph(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """A font older than the list draws an unknown sequence as several pictures, or as nothing."""
    left, top, right, bottom = font.getbbox(text)
    return 0 < right - left <= CANVAS[0] and bottom > top


def _find(name: str, folder: Path | None) -> Path:
    debian_folder, package = DEBIAN_FILES[name]
    own = [Path(os.environ["GENSTUDIO_DATA"]) / "emoji"] if "GENSTUDIO_DATA" in os.environ else []
    for place in [folder] if folder else [*own, debian_folder]:
        if (place / name).is_file():
            return place / name
    raise GenstudioError(
        f"The emoji need {name}, which is not in {folder or debian_folder}.",
        f"Install the Debian package {package}, or give a folder with {FONT} and {LIST} as emoji:FOLDER.",
    )
