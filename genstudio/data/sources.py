"""Where pictures come from: one protocol, and one function that opens any source by its name.

A source serves uint8 pictures of one size, so that nothing behind it knows idx files, fonts or folders.
Sources are deterministic: crops and flips at random belong to training, which has draws for them.
Shapes: n pictures asked for, C channels, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from genstudio.errors import GenstudioError

Split = Literal["train", "test"]
Indices = Tensor | Sequence[int]


class Pictures(Protocol):
    """A labelled set of pictures of equal size.

    `classes` names the labels, label i is `classes[i]`, equal for both splits. `fingerprint` changes when any
    pixel that `pixels` may return changes (each source says how it is made); caches are keyed by it.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def pixels(self, indices: Indices) -> Tensor:
        """The pictures at these indices, uint8 [n,C,H,W]."""
        ...

    def labels(self, indices: Indices) -> Tensor:
        """The labels at these indices, int64 [n]."""
        ...


@runtime_checkable
class Captioned(Protocol):
    """Sources whose pictures have a sentence each."""

    def captions(self, indices: Indices) -> list[str]:
        """The captions at these indices."""
        ...


def open_pictures(spec: str, split: Split, pixels: int, channels: int) -> Pictures:
    """Open the source that `spec` names, at `pixels` x `pixels` with 1 (grey) or 3 (RGB) `channels`.

    `spec` is `fashion`, `emoji`, either with a folder of its files behind a colon, or a folder of pictures
    (`class/file`). Raises GenstudioError when the data is missing, unreadable or does not fit the size.
    """
    if channels not in (1, 3):
        raise GenstudioError(f"Pictures have 1 or 3 channels, not {channels}.", "Set channels to 1 or 3.")
    name, _, rest = spec.partition(":")
    folder = Path(rest).expanduser() if rest else None
    if name == "fashion":
        from genstudio.data.fashion import open_fashion

        return open_fashion(folder, split, pixels, channels)
    if name == "emoji":
        from genstudio.data.emoji import open_emoji

        return open_emoji(folder, split, pixels, channels)
    from genstudio.data.folder import open_folder

    return open_folder(Path(spec).expanduser(), split, pixels, channels)


def as_index(indices: Indices) -> Tensor:
    """Indices as an int64 tensor on the CPU."""
    return torch.as_tensor(indices, dtype=torch.int64, device="cpu")


def batches(pictures: Pictures, size: int) -> Iterator[Tensor]:
    """Indices of all pictures in order, `size` at a time."""
    for start in range(0, len(pictures), size):
        yield torch.arange(start, min(start + size, len(pictures)))
