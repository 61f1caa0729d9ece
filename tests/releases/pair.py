"""A tokenizer and a generator that do their work on one picture, made in seconds: for tests of `verify`."""

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from genstudio import registry
from genstudio.generators.var import VAR, initialise
from genstudio.releases import catalogue, weights
from genstudio.releases.release import Release
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from tests.releases import tiny


class Pair(NamedTuple):
    """Folders of the two releases, and the networks that lie in them."""

    generator_folder: Path
    tokenizer_folder: Path
    generator: VAR
    tokenizer: MultiScaleVQ

    @property
    def releases(self) -> tuple[Release, Release]:
        """Generator and tokenizer as the catalogue reads them."""
        return catalogue.read_folder(self.generator_folder), catalogue.read_folder(self.tokenizer_folder)

    def copy(self, root: Path) -> "Pair":
        """The same two folders and networks below another root, to be spoilt by one test."""
        generator_folder = shutil.copytree(self.generator_folder, root / "gen")
        tokenizer_folder = shutil.copytree(self.tokenizer_folder, root / "tok")
        return Pair(generator_folder, tokenizer_folder, deepcopy(self.generator), deepcopy(self.tokenizer))

    def save(self) -> None:
        """Write both folders."""
        release = replace(tiny.release(tiny.GENERATOR, "gen"), tokenizer="../tok")
        weights.save_release(self.generator_folder, self.generator, release)
        weights.save_release(self.tokenizer_folder, self.tokenizer, tiny.release(tiny.VQ, "tok"))


def make(root: Path) -> Pair:
    """A tokenizer fitted to one picture, and a generator that knows how often each of its codes occurs."""
    side = tiny.VQ.pixels
    picture = np.zeros((side, side, 3), np.uint8)
    picture[: side // 2, :, 0], picture[:, : side // 2, 1] = 255, 200
    x_BCHW = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
    tokenizer, generator = _fitted(x_BCHW), registry.build(tiny.GENERATOR, "cpu")
    assert isinstance(generator, VAR)
    initialise(generator, torch.Generator().manual_seed(0))
    ids = torch.cat(tokenizer.encode(x_BCHW).data, dim=1).flatten()
    with torch.no_grad():
        generator.head.bias.copy_((torch.bincount(ids, minlength=tiny.VQ.vocab) + 0.01).log())
    pair = Pair(root / "gen", root / "tok", generator, tokenizer)
    pair.save()
    Image.fromarray(picture).save(root / "gen" / "picture.png")
    return pair


def _fitted(x_BCHW: torch.Tensor) -> MultiScaleVQ:
    torch.manual_seed(0)
    tokenizer = registry.build(tiny.VQ, "cpu")
    assert isinstance(tokenizer, MultiScaleVQ)
    optimizer = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    for _ in range(60):
        out = tokenizer(x_BCHW)
        optimizer.zero_grad()
        (F.mse_loss(out.x_BCHW, x_BCHW) + out.vq_loss).backward()
        optimizer.step()
    return tokenizer.eval()
