"""A folder of pictures, one subfolder per class (`class/file`), or pictures alone as one class.

The test split is `test/` or `val/` where the folder has that beside `train/`, else a hashed tenth of the
files. Pictures are resized and cropped at the centre by `genstudio.media.reading`. VAR's training code
resizes to 1.125 times the size and crops at random: random crops are training's business.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from genstudio.data.pictures import Indices, Split, as_index
from genstudio.errors import GenstudioError
from genstudio.media.reading import read_picture

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
HELD_OUT = 10  # one file in so many is held out where no test folder exists


class Folder:
    """Pictures read when asked for.

    `fingerprint` hashes relative paths, file sizes, times of change and the size served. Contents are not
    hashed: that would read every file of a large set before training starts.
    """

    def __init__(
        self, root: Path, files: list[Path], classes: tuple[str, ...], pixels: int, channels: int
    ) -> None:
        self.classes = classes
        self._files = files
        self._labels_N = torch.tensor([classes.index(_class_of(root, file)) for file in files])
        self._size = pixels
        self._mode = "RGB" if channels == 3 else "L"
        content = hashlib.sha256()
        for file in files:
            stat = file.stat()
            content.update(f"{file.relative_to(root)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        self.fingerprint = f"{content.hexdigest()[:32]}-{channels}x{pixels}"

    def __len__(self) -> int:
        return len(self._files)

    def pixels(self, indices: Indices) -> Tensor:
        """The pictures at these indices, uint8 [n,C,H,W]. A damaged file raises GenstudioError naming it."""
        files = [self._files[index] for index in as_index(indices).tolist()]
        return torch.stack([pil_to_tensor(read_picture(file, self._size, self._mode)) for file in files])

    def labels(self, indices: Indices) -> Tensor:
        """The labels at these indices, int64 [n]."""
        return self._labels_N[as_index(indices)]


def open_folder(root: Path, split: Split, pixels: int, channels: int) -> Folder:
    """One split of the pictures under `root`. Raises GenstudioError when there are none."""
    if not root.is_dir():
        raise GenstudioError(
            f"There is no folder {root}.",
            "Give `fashion`, `emoji`, or a folder with one subfolder per class.",
        )
    train, held_out = root / "train", _test_folder(root)
    if train.is_dir() and held_out:
        place = train if split == "train" else held_out
        classes, files = _classes(train), _files(place)
        unknown = sorted({_class_of(place, file) for file in files} - set(classes))
        if unknown:
            raise GenstudioError(
                f"{place} has classes that {train} lacks: {', '.join(unknown)}.",
                "Give both folders the same subfolders.",
            )
    else:
        place, classes = root, _classes(root)
        files = [file for file in _files(root) if _split(root, file) == split]
    if not files:
        raise GenstudioError(
            f"{place} has no pictures for the {split} split.",
            "Add pictures as class/file, or folders train/ and test/ that hold classes.",
        )
    return Folder(place, files, classes, pixels, channels)


def _test_folder(root: Path) -> Path | None:
    return next((root / name for name in ("test", "val") if (root / name).is_dir()), None)


def _files(root: Path) -> list[Path]:
    found = [path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _classes(root: Path) -> tuple[str, ...]:
    return tuple(sorted({_class_of(root, file) for file in _files(root)}))


def _class_of(root: Path, file: Path) -> str:
    """The first folder below `root`; a picture directly in `root` belongs to a class of that name."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else root.resolve().name


def _split(root: Path, file: Path) -> Split:
    name = file.relative_to(root).as_posix().encode()
    return "train" if int.from_bytes(hashlib.sha256(name).digest()[:4], "big") % HELD_OUT else "test"
