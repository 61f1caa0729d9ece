"""`genstudio reconstruct`: pictures through a tokenizer and back, with PSNR and SSIM.

What a tokenizer loses no generator can bring back: look here first when pictures look soft.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from genstudio.cli.complete import model_names
from genstudio.cli.console import emit
from genstudio.cli.options import Device, Json
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.releases.release import Release, TokenizerConfig
    from genstudio.tokenizers.base import ConvTokenizer

Model = Annotated[
    str,
    typer.Argument(help="A tokenizer, or a generator whose tokenizer is meant.", autocompletion=model_names),
]
Files = Annotated[list[Path] | None, typer.Argument(help="Pictures. Without: test pictures of --data.")]
Data = Annotated[str, typer.Option("--data", help="fashion, emoji or a folder, when no picture is given.")]
Count = Annotated[int, typer.Option("-n", "--num", min=1, help="Test pictures of --data.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the comparison.")]


def reconstruct(
    model: Model,
    files: Files = None,
    data: Data = "fashion",
    num: Count = 8,
    device: Device = "auto",
    output: Output = Path("out"),
    json_: Json = False,
) -> None:
    """Send pictures through a tokenizer and back; originals above, reconstructions below.

    genstudio reconstruct msvq-fashion -n 16

    genstudio reconstruct var-vqvae cat.png dog.png
    """
    from genstudio.evaluation.reconstruction import psnr, ssim
    from genstudio.media.grid import grid
    from genstudio.media.png import save_png

    release, config = _tokenizer(model)
    names, pixels_BCHW = _pictures(files, data, num, config)
    again_BCHW = _round_trip(release, pixels_BCHW, device)
    decibels, likeness = psnr(pixels_BCHW, again_BCHW).tolist(), ssim(pixels_BCHW, again_BCHW).tolist()
    sheet = grid(_stacked(pixels_BCHW, again_BCHW), len(names))
    path = save_png(output / release.name / "reconstruction.png", sheet, fresh=True)
    rows = zip(names, decibels, likeness, strict=True)
    result: dict[str, Any] = {
        "model": release.name,
        "file": str(path),
        "psnr": sum(decibels) / len(decibels),
        "ssim": sum(likeness) / len(likeness),
        "pictures": [{"picture": name, "psnr": p, "ssim": s} for name, p, s in rows],
    }
    if json_:
        emit(result)
    else:
        print(f"{path}\nPSNR {result['psnr']:.2f} dB, SSIM {result['ssim']:.4f} over {len(names)} pictures")


def _tokenizer(model: str) -> "tuple[Release, TokenizerConfig]":
    from genstudio.releases import catalogue
    from genstudio.releases.pairing import tokenizer_of
    from genstudio.releases.release import TokenizerConfig

    release = catalogue.find(model)
    if release.tokenizer is not None:
        release = tokenizer_of(release)
    if not isinstance(release.config, TokenizerConfig):
        raise GenstudioError(f"{release.name} is no tokenizer.", "Choose one: genstudio models.")
    return release, release.config


def _pictures(
    files: list[Path] | None, data: str, num: int, config: "TokenizerConfig"
) -> "tuple[list[str], Tensor]":
    """Names and uint8 pixels [B,C,H,W] at the size of the model that was named."""
    import torch
    from torchvision.transforms.functional import pil_to_tensor

    from genstudio.data.sources import open_pictures
    from genstudio.media.reading import read_picture

    if files:
        mode = "L" if config.channels == 1 else "RGB"
        pixels = [pil_to_tensor(read_picture(file, config.pixels, mode)) for file in files]
        return [str(file) for file in files], torch.stack(pixels)
    source = open_pictures(data, "test", config.pixels, config.channels)
    indices = list(range(min(num, len(source))))
    return [f"{data} test {index}" for index in indices], source.pixels(indices)


def _round_trip(release: "Release", pixels_BCHW: "Tensor", device: str) -> "Tensor":
    from genstudio.evaluation.reconstruction import round_trip
    from genstudio.releases import weights
    from genstudio.runtime import Runtime

    tokenizer = cast("ConvTokenizer", weights.load(release, Runtime.choose(device).torch_device))
    return round_trip(tokenizer, pixels_BCHW, release.pixels)


def _stacked(above_BCHW: "Tensor", below_BCHW: "Tensor") -> "Tensor":
    import torch

    return torch.cat([above_BCHW, below_BCHW])
