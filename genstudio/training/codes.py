"""Codes of a whole set of pictures, encoded once and kept on disk.

The file's name is a hash of everything that decides the codes: the tokenizer's weights and config, the
pictures' fingerprint, and whether mirrored pictures were encoded too. Written atomically.
Shapes: N pictures, L codes of a picture, B a batch.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genstudio.data.pictures import Pictures
from genstudio.errors import Exit, GenstudioError
from genstudio.files import atomic
from genstudio.generators.base import Generator
from genstudio.tokenizers.base import ConvTokenizer, QuantisingTokenizer
from genstudio.training.objectives.base import to_unit
from genstudio.training.rehearsal import Rehearsal

ENCODED = 256


@dataclass(frozen=True, slots=True)
class CodeBook:
    """Ids in the order of generation (of all scales in a row), and the labels.

    `flipped_NL` are the codes of the mirrored pictures. `reads` holds fingerprints of the pictures and of the
    tokenizer.
    """

    reads: Mapping[str, str]
    ids_NL: Tensor
    flipped_NL: Tensor | None
    label_N: Tensor

    def __len__(self) -> int:
        return len(self.ids_NL)

    def to(self, device: torch.device) -> "CodeBook":
        """The same codes on a device."""
        flipped_NL = None if self.flipped_NL is None else self.flipped_NL.to(device)
        ids_NL, label_N = self.ids_NL.to(device), self.label_N.to(device)
        return replace(self, ids_NL=ids_NL, flipped_NL=flipped_NL, label_N=label_N)

    def take(self, index_B: Tensor, flip_B: Tensor | None) -> tuple[Tensor, Tensor]:
        """Codes int64 [B,L] and labels [B] of these pictures, mirrored where `flip_B` says so."""
        ids_BL = self.ids_NL[index_B]
        if flip_B is not None:
            assert self.flipped_NL is not None
            ids_BL = torch.where(flip_B[:, None], self.flipped_NL[index_B], ids_BL)
        return ids_BL.long(), self.label_N[index_B]


def encoded(
    tokenizer: QuantisingTokenizer,
    pictures: Pictures,
    flip: bool,
    folder: Path,
    rehearsal: Rehearsal | None = None,
) -> CodeBook:
    """The codes of all pictures, from `folder` where they were encoded before; a `rehearsal` encodes few of
    them and writes nothing."""
    encode = partial(_encode, tokenizer, pictures, flip)
    reads, stored = stored_once(tokenizer, pictures, flip, folder, encode, rehearsal)
    return CodeBook(reads, stored["ids"], stored.get("flipped"), stored["labels"])


def stored_once(
    tokenizer: ConvTokenizer,
    pictures: Pictures,
    flip: bool,
    folder: Path,
    encode: Callable[[int], dict[str, Tensor]],
    rehearsal: Rehearsal | None = None,
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Fingerprints of pictures and tokenizer, and what `encode(count)` made of so many pictures, now or when
    the file was written."""
    reads = {"data": pictures.fingerprint, "tokenizer": fingerprint(tokenizer)}
    name = hashlib.sha256(json.dumps({**reads, "flip": flip}, sort_keys=True).encode()).hexdigest()
    path = folder / f"{name[:32]}.safetensors"
    if path.is_file():
        stored = _read(path)
    elif rehearsal is not None:
        stored = rehearsal.stand_in(encode, ENCODED, len(pictures))
    else:
        stored = encode(len(pictures))
        with atomic(path) as temporary:
            save_file(stored, temporary)
    return reads, stored


def fingerprint(network: ConvTokenizer | Generator) -> str:
    """32 hex digits that change when any architecture number or weight of a network does."""
    total = hashlib.sha256(json.dumps(asdict(network.config), sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        total.update(name.encode())
        total.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:32]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        hint = "Remove it; it is made again from the pictures."
        raise GenstudioError(f"The codes in {path} are damaged.", hint, Exit.WEIGHTS) from error


@torch.no_grad()
def _encode(tokenizer: QuantisingTokenizer, pictures: Pictures, flip: bool, count: int) -> dict[str, Tensor]:
    device = next(tokenizer.parameters()).device
    dtype = torch.int16 if tokenizer.config.vocab <= torch.iinfo(torch.int16).max + 1 else torch.int32
    ids: list[Tensor] = []
    flipped: list[Tensor] = []
    labels: list[Tensor] = []
    for index_n in torch.arange(count).split(ENCODED):
        x_BCHW = to_unit(pictures.pixels(index_n), device)
        ids.append(torch.cat(tokenizer.encode(x_BCHW).data, dim=1).to("cpu", dtype))
        if flip:
            flipped.append(torch.cat(tokenizer.encode(x_BCHW.flip(-1)).data, dim=1).to("cpu", dtype))
        labels.append(pictures.labels(index_n))
    made = {"ids": torch.cat(ids), "labels": torch.cat(labels)}
    return {**made, "flipped": torch.cat(flipped)} if flip else made
