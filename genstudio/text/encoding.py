"""Many prompts to a features file, batch by batch: a run that was stopped anywhere goes on.

Every batch is a features file of its own in a folder beside the result, until all are there and become one.
Shapes: B prompts, T slots, t tokens of a prompt, E width.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.text.encoder import TextEncoder
from genstudio.text.features import FeatureFile, Making, write_features


class Encoded(NamedTuple):
    """A finished features file, and how many of its prompts were read now."""

    file: FeatureFile
    made: int


def each(encoder: TextEncoder, prompts: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Every prompt with its features [t,E], on the CPU; all in one call of the encoder."""
    features_BTE, open_BT = encoder(prompts)
    for prompt, features_TE, open_T in zip(prompts, features_BTE.cpu(), open_BT.cpu(), strict=True):
        yield prompt, features_TE[open_T]


def encode(
    encoder: TextEncoder, prompts: Sequence[str], path: Path, batch: int, report: Callable[[int], None]
) -> Encoded:
    """Write the features of different prompts; `report` hears how many are there.

    Raises GenstudioError where `path` holds other features, and as the encoder does.
    """
    if path.exists():
        return Encoded(_finished(path, encoder.making, prompts), 0)
    parts, made = path.with_name(f"{path.name}.parts"), 0
    files = []
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        part = parts / f"{start:08d}.safetensors"
        if not _holds(part, encoder.making, some):
            write_features(part, encoder.making, dict(each(encoder, some)))
            made += len(some)
        files.append(FeatureFile.read(part))
        report(start + len(some))
    write_features(path, encoder.making, _Joined(files))
    shutil.rmtree(parts)
    return Encoded(FeatureFile.read(path), made)


class _Joined(Mapping[str, Tensor]):
    """The features of several files, read when they are asked for."""

    def __init__(self, files: Sequence[FeatureFile]) -> None:
        self.files = {prompt: file for file in files for prompt in file.stored}

    def __getitem__(self, prompt: str) -> Tensor:
        return self.files[prompt].rows(prompt)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def _holds(path: Path, making: Making, prompts: Sequence[str]) -> bool:
    """Whether a file holds these features; one that is damaged or of another run is made anew."""
    try:
        file = FeatureFile.read(path)
    except GenstudioError:
        return False
    return file.making == making and tuple(file.stored) == tuple(prompts)


def _finished(path: Path, making: Making, prompts: Sequence[str]) -> FeatureFile:
    file = FeatureFile.read(path)
    if file.making != making or tuple(file.stored) != tuple(prompts):
        raise GenstudioError(
            f"{path} holds features of other prompts, or made in another way.",
            "Choose another -o, or remove it.",
        )
    return file
