"""A small convolutional classifier: its penultimate layer is the feature space in which pictures are scored.

Ours, not a paper's: three stages of 3x3 convolutions at full, half and quarter size (1, 2 and 2 of them; the
width doubles), each ended by a max pool, then one linear layer to the features, ReLU, and one to the logits.
GroupNorm keeps rows independent and leaves no running statistics behind, so that weights alone make the net.
Shapes: B pictures, C channels, D features, K classes.
"""

from itertools import pairwise
from math import gcd
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from genstudio.configs.features import ClassifierConfig

CONVS = (1, 2, 2)  # per stage; more at full size costs most and gains least
SHRINK = 2 ** len(CONVS)
GROUPS = 8


class Scores(NamedTuple):
    """What the classifier says of B pictures: features [B,D], not negative, and class logits [B,K]."""

    features: Tensor
    logits: Tensor


class Classifier(nn.Module):
    """Pictures in [-1, 1] to `Scores`.

    Trained by cross-entropy of the logits alone. On Fashion-MNIST with width 16 and 128 features (202,170
    parameters): AdamW, lr 3e-3, betas (0.9, 0.99), weight decay 0.02, batch 128, cosine to 0 after 5 % of
    warm-up, shifts of up to one pixel and flips, 6 epochs.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        widths = [config.width * 2**stage for stage in range(len(CONVS))]
        self.stages = nn.ModuleList(
            _stage(before, after, convs)
            for (before, after), convs in zip(pairwise([config.channels, *widths]), CONVS, strict=True)
        )
        cells = (config.pixels // SHRINK) ** 2
        self.project = nn.Linear(widths[-1] * cells, config.features)
        self.head = nn.Linear(config.features, config.classes)

    def forward(self, x_BCHW: Tensor) -> Scores:
        last_BCHW = self.maps(x_BCHW)[-1]
        features_BD = F.relu(self.project(last_BCHW.flatten(1)))
        return Scores(features_BD, self.head(features_BD))

    def maps(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """The feature maps behind every stage, large to small, for perceptual losses."""
        maps: list[Tensor] = []
        for stage in self.stages:
            x_BCHW = stage(x_BCHW)
            maps.append(x_BCHW)
        return tuple(maps)


def _stage(before: int, after: int, convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in [before, *[after] * (convs - 1)]:
        layers += [
            nn.Conv2d(width, after, 3, padding=1, bias=False),
            nn.GroupNorm(gcd(GROUPS, after), after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))
