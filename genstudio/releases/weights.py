"""Weights of a release: where they lie, how they are read into a network, how they are written.

One file format: safetensors, with the release, the origin of the numbers and their storage in its metadata. A
file of weights is enough to build the network again. Networks are built on the meta device and filled, so
that no time goes into numbers that are thrown away.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from genstudio import registry
from genstudio.errors import Exit, GenstudioError
from genstudio.files import atomic, digest, write_text
from genstudio.releases.catalogue import RELEASE
from genstudio.releases.header import damaged, read_header
from genstudio.releases.misfit import compare
from genstudio.releases.places import MODEL
from genstudio.releases.places import resolve as resolve
from genstudio.releases.release import Release, to_json
from genstudio.releases.storage import Packed, Storage, unpack
from genstudio.releases.stream import save_file


@dataclass(frozen=True, slots=True)
class Origin:
    """The official file that weights were converted from."""

    file: str
    sha256: str


def load(
    release: Release, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> nn.Module:
    """The network of a release, filled, in eval mode. Raises GenstudioError (exit code 3) where it cannot."""
    tensors = read(resolve(release), device, dtype)
    return fill(registry.build(release.config), tensors, release.name).to(device).eval()


def read(
    path: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """All tensors of a file that `save` wrote, float ones as `dtype`. Raises GenstudioError if damaged."""
    try:
        return unpack(Stored(path, str(device)), dtype)
    except SafetensorError as error:
        raise damaged(path, str(error)) from error


class Stored(Mapping[str, Tensor]):
    """The tensors of a file, each mapped anew when it is asked for: what a conversion has read is let go, so
    that memory never holds both forms of the whole. Raises GenstudioError for a damaged file."""

    def __init__(self, path: Path, device: str) -> None:
        self.path, self.device = path, device
        self.names = tuple(read_header(path).tensors)

    def __getitem__(self, name: str) -> Tensor:
        with safe_open(self.path, "pt", device=self.device) as file:
            if name not in self.names:
                raise KeyError(name)
            tensor: Tensor = file.get_tensor(name)
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> nn.Module:
    """Give a network (built on any device) these very tensors. Every name and shape must fit."""
    expected = {key: value.shape for key, value in network.state_dict().items()}
    if misfit := compare({key: value.shape for key, value in tensors.items()}, expected):
        raise GenstudioError(
            f"The weights of {name} do not fit its architecture: {misfit}.",
            "Use the release.json that was written beside them.",
            Exit.WEIGHTS,
        )
    network.load_state_dict(tensors, assign=True)
    left = [key for key, value in chain(network.named_parameters(), network.named_buffers()) if value.is_meta]
    if left:
        raise RuntimeError(f"{type(network).__name__} keeps buffers that no checkpoint fills: {left}")
    return network


def save_release(folder: Path, network: nn.Module, release: Release, storage: Storage = "float32") -> None:
    """Write a folder that `genstudio sample` takes: the weights, then the release.json with their hash."""
    save(folder / MODEL, network, release, storage)
    write_text(folder / RELEASE, to_json(replace(release, sha256=digest(folder / MODEL))))


def save(path: Path, network: nn.Module, release: Release, storage: Storage = "float32") -> None:
    """Write the weights of a network atomically, with the release in the metadata of the file."""
    write(path, network.state_dict(), release, storage)


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    release: Release,
    storage: Storage = "float32",
    origin: Origin | None = None,
) -> None:
    """Write tensors under our own names atomically, one after the other: those that lie mapped in a file take
    the memory of one. Raises GenstudioError for a full or closed disk."""
    about = {
        "release": json.loads(to_json(release)),
        "storage": storage,
        "origin": asdict(origin) if origin else None,
        "version": version("genstudio"),
    }
    with atomic(path) as temporary:
        save_file(Packed(tensors, storage), temporary, {"genstudio": json.dumps(about)})
