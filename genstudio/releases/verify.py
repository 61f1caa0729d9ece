"""Are the weights on this machine what they should be, and do they do their work?

Hash and tensor table first; then a picture goes through the tokenizer and back, and its codes through the
generator. A wrong pairing of generator and tokenizer loads without an error and shows only there: its loss is
above that of knowing nothing.
Shapes: B = 1 picture, C channels, H x W pixels.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from genstudio.errors import GenstudioError
from genstudio.evaluation.reconstruction import psnr, round_trip
from genstudio.files import digest
from genstudio.generators.base import Generator
from genstudio.generators.methods import AnySurprise, method_of
from genstudio.media.pixels import to_float
from genstudio.media.reading import read_picture
from genstudio.releases import records, weights
from genstudio.releases.catalogue import bundled_root
from genstudio.releases.header import read_header
from genstudio.releases.places import resolve
from genstudio.releases.release import Release
from genstudio.runtime import Runtime
from genstudio.samplers.values import Given
from genstudio.tokenizers.base import ConvTokenizer

PICTURE: Final = "picture.png"
MARGIN_DB: Final = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One question, whether the answer is good, and what was found."""

    name: str
    ok: bool
    found: str


def verify_release(release: Release, tokenizer: Release | None, runtime: Runtime) -> list[Check]:
    """All checks that apply; `tokenizer` is the release that a generator is paired with.

    Raises GenstudioError (exit code 3) where the weights are not here at all.
    """
    parts = [release] if tokenizer is None else [release, tokenizer]
    checks = [_hash(part, resolve(part)) for part in parts]
    networks: list[nn.Module] = []
    for part in parts:
        check, network = _tensors(part, runtime)
        checks.append(check)
        networks += [network] if network is not None else []
    if len(networks) == len(parts):
        checks += _at_work(parts, networks)
    return checks


def _hash(release: Release, path: Path) -> Check:
    """Against the hash in the release.json, else the one recorded at import or now."""
    name, found, what = f"hash of {release.name}", digest(path), str(path)
    wanted = release.sha256 or records.known(what)
    if wanted is None:
        records.record(what, found)
        return Check(name, True, f"{found}, seen for the first time and recorded")
    source = "as in release.json" if release.sha256 else "as recorded"
    return Check(name, found == wanted, f"{found}, {source if found == wanted else f'not {wanted}'}")


def _tensors(release: Release, runtime: Runtime) -> tuple[Check, nn.Module | None]:
    """Names, shapes and finiteness; the network too, where they are fine."""
    name = f"tensors of {release.name}"
    try:
        network = weights.load(release, runtime.device, torch.float32)
    except GenstudioError as error:
        return Check(name, False, error.message), None
    values = network.state_dict()
    broken = [key for key, value in values.items() if not value.isfinite().all()]
    dtypes = Counter(entry.dtype for entry in read_header(resolve(release)).tensors.values())
    stored = ", ".join(f"{count} {dtype}" for dtype, count in dtypes.most_common())
    parameters = sum(value.numel() for value in values.values())
    found = f"{len(values)} tensors stored as {stored}; {parameters:,} numbers, "
    found += f"not finite in {', '.join(broken[:3])}" if broken else "all finite"
    return Check(name, not broken, found), None if broken else network


@torch.inference_mode()
def _at_work(parts: list[Release], networks: list[nn.Module]) -> list[Check]:
    """The picture through the tokenizer, and its codes through the generator if there is one."""
    tokenizer, release = networks[-1], parts[-1]
    if not isinstance(tokenizer, ConvTokenizer):
        return []
    path = _picture(parts)
    if path is None:
        return [Check("picture", True, f"not tried: there is no {PICTURE} beside the release.json")]
    mode = "L" if tokenizer.config.channels == 1 else "RGB"
    pixels_BCHW = pil_to_tensor(read_picture(path, tokenizer.config.pixels, mode))[None]
    x_BCHW = to_float(pixels_BCHW, release.pixels).to(next(tokenizer.parameters()).device)
    checks = [_round_trip(tokenizer, release, pixels_BCHW)]
    if isinstance(generator := networks[0], Generator) and (surprise := method_of(generator).surprise):
        checks.append(_loss(surprise, generator, tokenizer, x_BCHW))
    return checks


def _picture(parts: list[Release]) -> Path | None:
    """Of the kind that the networks were made for: beside a release, else the one for natural pictures."""
    folders = [Path(part.folder) for part in parts if part.folder]
    root = bundled_root()
    if not folders and root is not None:
        folders = [root]
    return next((folder / PICTURE for folder in folders if (folder / PICTURE).is_file()), None)


def _round_trip(tokenizer: ConvTokenizer, release: Release, pixels_BCHW: Tensor) -> Check:
    """Closer to the picture than its mean colour is, by a margin: anything less carries no picture."""
    again = round_trip(tokenizer, pixels_BCHW, release.pixels)
    plain = pixels_BCHW.float().mean((2, 3), keepdim=True).round().expand(pixels_BCHW.shape)
    found, least = (
        float(psnr(pixels_BCHW, again)),
        float(psnr(pixels_BCHW, plain.to(torch.uint8))) + MARGIN_DB,
    )
    return Check("round trip", found >= least, f"{found:.2f} dB; {least:.2f} dB or more is expected")


def _loss(surprise: AnySurprise, generator: Generator, tokenizer: ConvTokenizer, x_BCHW: Tensor) -> Check:
    """Teacher-forced, without the picture's class."""
    codes = tokenizer.encode(x_BCHW)
    null_B = torch.full((len(x_BCHW),), generator.config.classes, device=x_BCHW.device)
    loss, ignorant, unit = surprise(generator, tokenizer, codes, Given(label_B=null_B))
    return Check("loss", loss < ignorant, f"{loss:.3f} {unit}; less than {ignorant:.3f} is expected")
