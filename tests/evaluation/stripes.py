"""Pictures of stripes, and a tiny untrained classifier that looks at them, installed as a folder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genstudio.configs.features import ClassifierConfig
from genstudio.evaluation.classifier import Classifier
from genstudio.releases import weights
from genstudio.releases.release import Release

SIZE = 16
CONFIG = ClassifierConfig(channels=1, pixels=SIZE, width=4, features=8, classes=3)


@dataclass
class Stripes:
    """Pictures whose class is the direction of their stripes, at random phases and contrasts."""

    count: int
    seed: int
    classes = ("across", "down", "none")
    fingerprint = "stripes"

    def __len__(self) -> int:
        return self.count

    def labels(self, indices: Tensor | range) -> Tensor:
        return torch.as_tensor(indices) % 3

    def pixels(self, indices: Tensor | range) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        phase, contrast = torch.rand(2, self.count, 1, generator=generator)
        wave = torch.sin(torch.arange(SIZE) * 1.5 + phase * 6.3) * (0.2 + 0.8 * contrast)
        flat = torch.zeros_like(wave)
        across = torch.stack([wave, flat, flat])[torch.arange(self.count) % 3, torch.arange(self.count)]
        down = torch.stack([flat, wave, flat])[torch.arange(self.count) % 3, torch.arange(self.count)]
        level = 127.5 + 120 * (across[:, :, None] + down[:, None, :])
        return level.to(torch.uint8)[torch.as_tensor(indices)][:, None]


def pixels(count: int, seed: int) -> Tensor:
    """All pictures of one set."""
    return Stripes(count, seed).pixels(range(count))


def install(folder: Path, seed: int = 0, config: ClassifierConfig = CONFIG) -> str:
    """A classifier with random weights as a release called `stripes`; the name that opens it."""
    torch.manual_seed(seed)
    names = tuple(f"class {label}" for label in range(config.classes))
    release = Release(name="stripes", title="", config=config, licence=None, source="", classes=names)
    weights.save_release(folder, Classifier(config).eval(), release)
    return str(folder)
