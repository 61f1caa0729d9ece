"""A small convolutional classifier: its penultimate layer is the feature space in which pictures are scored.

Ours, not a paper's: three stages of 3x3 convolutions at full, half and quarter size (1, 2 and 2 of them; the
width doubles), each ended by a max pool, then one convolution to the features and their mean over the map.
Features are scaled to length sqrt(D): so distances do not grow with the length of training. GroupNorm keeps
rows independent and leaves no running statistics behind: weights alone make the network.
Shapes: B pictures, C channels, D features, K classes, A values of all attributes together.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd, sqrt
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from genstudio.configs.features import Attribute, ClassifierConfig

CONVS = (1, 2, 2)  # per stage; more at full size costs most and gains least
GROUPS = 8


class Scores(NamedTuple):
    """What the classifier says of B pictures: features [B,D] of length sqrt(D), none below 0, class logits
    [B,K], and logits [B,A] of the attributes' values in the config's order, None where it has none."""

    features: Tensor
    logits: Tensor
    attributes_BA: Tensor | None = None


class Classifier(nn.Module):
    """Pictures in [-1, 1] to `Scores`.

    Trained by cross-entropy of the logits alone. On Fashion-MNIST with width 24 and 128 features (268,498
    parameters): AdamW, lr 3e-3, betas (0.9, 0.99), weight decay 0.02, batch 128, cosine to 0 after 5 % of
    warm-up, shifts of up to one pixel and flips, 6 epochs.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**stage for stage in range(len(CONVS))]
        self.stages = nn.ModuleList(
            nn.Sequential(*_convs(before, after, convs), nn.MaxPool2d(2))
            for (before, after), convs in zip(pairwise([config.channels, *widths]), CONVS, strict=True)
        )
        self.last = nn.Sequential(*_convs(widths[-1], config.features, 1))
        self.head = nn.Linear(config.features, config.classes)
        values = sum(len(attribute.values) for attribute in config.attributes)
        self.attributes = nn.Linear(config.features, values) if values else None

    def forward(self, x_BCHW: Tensor) -> Scores:
        pooled_BD = self.last(self.maps(x_BCHW)[-1]).mean((2, 3))
        features_BD = F.normalize(pooled_BD) * sqrt(self.config.features)
        attributes_BA = None if self.attributes is None else self.attributes(features_BD)
        return Scores(features_BD, self.head(features_BD), attributes_BA)

    def maps(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """The feature maps behind every stage, large to small, for perceptual losses."""
        maps: list[Tensor] = []
        for stage in self.stages:
            x_BCHW = stage(x_BCHW)
            maps.append(x_BCHW)
        return tuple(maps)


def per_attribute(attributes_BA: Tensor, attributes: Sequence[Attribute]) -> dict[str, Tensor]:
    """Logits of each attribute's values, by its name."""
    parts = attributes_BA.split([len(attribute.values) for attribute in attributes], dim=1)
    return {attribute.name: part for attribute, part in zip(attributes, parts, strict=True)}


def _convs(before: int, after: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in [before, *[after] * (count - 1)]:
        layers += [
            nn.Conv2d(width, after, 3, padding=1, bias=False),
            nn.GroupNorm(gcd(GROUPS, after), after),
            nn.ReLU(),
        ]
    return layers
