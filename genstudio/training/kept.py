"""Pictures kept in memory as uint8 once they were read: folders would decode every file in every epoch."""

from typing import Any

import torch
from torch import Tensor

from genstudio.data.pictures import Indices, Pictures, as_index

LIMIT = 4 << 30  # bytes; a larger set is read from its source every time


def kept(pictures: Pictures, pixels: int, channels: int) -> Pictures:
    """The same pictures, kept where all of them fit into 4 GiB."""
    size = len(pictures) * channels * pixels * pixels
    return Kept(pictures, (len(pictures), channels, pixels, pixels)) if size <= LIMIT else pictures


class Kept:
    """A source that is asked for every picture at most once; it answers all other questions itself."""

    def __init__(self, source: Pictures, shape: tuple[int, int, int, int]) -> None:
        self.classes, self.fingerprint = source.classes, source.fingerprint
        self._source = source
        self._pixels_NCHW = torch.empty(shape, dtype=torch.uint8)
        self._has_N = torch.zeros(shape[0], dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._has_N)

    def pixels(self, indices: Indices) -> Tensor:
        """The pictures at these indices, uint8 [n,C,H,W]."""
        index_n = as_index(indices)
        missing_m = index_n[~self._has_N[index_n]].unique()
        if len(missing_m) > 0:
            self._pixels_NCHW[missing_m] = self._source.pixels(missing_m)
            self._has_N[missing_m] = True
        return self._pixels_NCHW[index_n]

    def labels(self, indices: Indices) -> Tensor:
        """The labels at these indices, int64 [n]."""
        return self._source.labels(indices)

    def __getattr__(self, name: str) -> Any:
        """What only some sources offer: captions, answers."""
        return getattr(self._source, name)
