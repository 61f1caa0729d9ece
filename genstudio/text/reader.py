"""Features of the prompts of a run, for whoever samples: out of a file, or from the release's encoder.

The encoder is asked for all prompts of a request at once and then let go, so that its gigabytes do not stand
beside the generator's while pictures are made. Shapes: B pictures, T slots, t tokens of a prompt, E width.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from genstudio.configs.llamagen import Caption
from genstudio.files import Source
from genstudio.releases.release import Release
from genstudio.request import Request
from genstudio.runtime import Runtime
from genstudio.samplers.values import Given
from genstudio.text.encoding import each
from genstudio.text.features import FeatureFile, Making
from genstudio.text.t5 import open_t5

TOGETHER: Final = 8  # prompts in one call of the encoder


class Reader:
    """What a studio asks for the features of its pictures."""

    def __init__(self, release: Release, runtime: Runtime) -> None:
        self.release, self.runtime = release, runtime
        self.makings: dict[str, Making] = {}
        self._known: dict[str, Tensor] = {}
        self._files: dict[Source, FeatureFile] = {}

    def given(self, request: Request, positions: Sequence[int]) -> Given:
        """What the pictures at these positions of a request are made from: features [B,T,E] and their open
        rows [B,T], padding first and zero; the same of what they are steered away from, if the request says.

        Raises GenstudioError for prompts that cannot be read, for features that do not fit the release or are
        gone, and (exit code 3) where the encoder is not here.
        """
        rows = self._rows(request)
        text_BTE, open_BT = self._side_by_side([rows(request.pictures[at].prompt or "") for at in positions])
        given = Given(text=text_BTE, open_BT=open_BT)
        if request.negative is None:
            return given
        negative_BTE, negative_BT = self._side_by_side([rows(request.negative)] * len(positions))
        return given._replace(negative=negative_BTE, negative_BT=negative_BT)

    def learn(self, prompt: str) -> None:
        """Let a text fill all slots with zeros, for whoever measures: what it says changes no time."""
        caption = self.release.caption
        assert caption is not None
        self._known[prompt] = torch.zeros(caption.slots, caption.width)

    @property
    def digests(self) -> dict[str, str]:
        """The hashes of the encoders' weights by their names, as far as they were asked."""
        return {name: making.sha256 for name, making in self.makings.items()}

    def _rows(self, request: Request) -> Callable[[str], Tensor]:
        """What gives features [t,E] of a prompt of the request."""
        if request.features is not None:
            return self._file(request.features).rows
        self._encode([text for text in request.texts if text not in self._known])
        return self._known.__getitem__

    def _file(self, source: Source) -> FeatureFile:
        """Opened and checked once, however many batches it serves."""
        if source not in self._files:
            file = FeatureFile.read(source.found("Say where it is: --features FILE."))
            file.check(self.release)
            self._note(file.making)
            self._files[source] = file
        return self._files[source]

    def _encode(self, prompts: Sequence[str]) -> None:
        if not prompts:
            return
        encoder = open_t5(self.release, self.runtime)
        self._note(encoder.making)
        for start in range(0, len(prompts), TOGETHER):
            self._known.update(each(encoder, prompts[start : start + TOGETHER]))

    def _note(self, making: Making) -> None:
        self.makings[Path(making.encoder).name] = making

    def _side_by_side(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        assert self.release.caption is not None
        text_BTE, open_BT = padded(rows, self.release.caption)
        return text_BTE.to(self.runtime.torch_device), open_BT.to(self.runtime.torch_device)


def padded(rows: Sequence[Tensor], caption: Caption) -> tuple[Tensor, Tensor]:
    """Features [t,E] of several prompts side by side, [B,T,E] on the CPU, padding first and zero; and which
    are open, [B,T]."""
    text_BTE = torch.zeros(len(rows), caption.slots, caption.width, dtype=rows[0].dtype)
    open_BT = torch.zeros(len(rows), caption.slots, dtype=torch.bool)
    for row, rows_tE in enumerate(rows):
        text_BTE[row, -len(rows_tE) :] = rows_tE
        open_BT[row, -len(rows_tE) :] = True
    return text_BTE, open_BT
