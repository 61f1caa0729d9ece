"""Run a classifier over many pictures: uint8 in, features and logits out, in batches, nothing kept between.

Shapes: N pictures, C channels, D features, K classes.
"""

import hashlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from genstudio.data.pictures import Pictures, batches
from genstudio.evaluation.classifier import Classifier, Scores
from genstudio.media.pixels import to_float
from genstudio.releases.release import PixelRule

BATCH = 500
RANGE = PixelRule()


@torch.inference_mode()
def features(classifier: Classifier, pixels_NCHW: Tensor | Iterable[Tensor]) -> Scores:
    """Scores of uint8 pictures [N,C,H,W], given whole or as batches, on the CPU as float32.

    A picture's scores do not depend on the batch it came in, up to the last bits of float32.
    """
    parts = torch.split(pixels_NCHW, BATCH) if isinstance(pixels_NCHW, Tensor) else pixels_NCHW
    device = next(classifier.parameters()).device
    scores = [classifier(_fed(part, device)) for part in parts]
    attributes = [one.attributes_BA for one in scores if one.attributes_BA is not None]
    return Scores(
        _joined([one.features for one in scores]),
        _joined([one.logits for one in scores]),
        _joined(attributes) if attributes else None,
    )


def all_pixels(pictures: Pictures) -> Iterator[Tensor]:
    """All pictures of a source, uint8 [<=500,C,H,W] at a time."""
    for indices in batches(pictures, BATCH):
        yield pictures.pixels(indices)


def weights_digest(network: nn.Module) -> str:
    """A hash of all weights, by which statistics know the extractor that made them."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.float().cpu() for part in parts])


def _fed(pixels_BCHW: Tensor, device: torch.device) -> Tensor:
    return to_float(pixels_BCHW, RANGE).to(device, memory_format=torch.channels_last)
