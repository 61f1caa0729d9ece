"""What every source of pictures offers, whatever lies behind it: idx files, fonts or folders.

Sources are deterministic: crops and flips at random belong to training, which has draws for them.
Shapes: n pictures asked for, C channels, H x W pixels, Q attributes.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from genstudio.configs.features import Attribute

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


@runtime_checkable
class Attributed(Protocol):
    """Sources that answer further questions about their pictures than the label."""

    @property
    def attributes(self) -> tuple[Attribute, ...]: ...
    def answers(self, indices: Indices) -> Tensor:
        """Places among each attribute's values, int64 [n,Q]; UNANSWERED where nobody can say."""
        ...


def as_index(indices: Indices) -> Tensor:
    """Indices as an int64 tensor on the CPU."""
    return torch.as_tensor(indices, dtype=torch.int64, device="cpu")


def batches(pictures: Pictures, size: int) -> Iterator[Tensor]:
    """Indices of all pictures in order, `size` at a time."""
    for start in range(0, len(pictures), size):
        yield torch.arange(start, min(start + size, len(pictures)))
