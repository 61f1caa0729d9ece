"""The numbers in the card of emoji-features: what it reads in real emoji, and the scale of its distance.

    python scripts/emoji.py

needs the Debian packages fonts-noto-color-emoji and unicode-data.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.console import emit
from genstudio.cli.main import guarded

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.data.pictures import Pictures
    from genstudio.evaluation.extractor import Extractor, Features

BATCH = 500
NOISE = (0.02, 0.05, 0.1)  # standard deviations, of pixels from 0 to 1
NOISE_SEED = 0

app = typer.Typer(add_completion=False)


@app.command()
def emoji(
    extractor: Annotated[str, typer.Argument(help="A classifier of emoji.")] = "emoji-features",
) -> None:
    """Print prompt scores of real emoji, and the distance of noisy training emoji from the plain ones."""
    from genstudio.data.sources import open_pictures
    from genstudio.evaluation.extractor import open_extractor

    opened = open_extractor(extractor)
    pixels = opened.pixels or 64
    train, test = (open_pictures("emoji", split, pixels, 3) for split in ("train", "test"))
    emit({"train": _read(opened, train), "held out": _read(opened, test), "distance": _scale(opened, train)})


def _read(extractor: "Extractor", pictures: "Pictures") -> dict[str, Any]:
    """The prompt score of real pictures, with the subgroup and without, and every head's accuracy."""
    from genstudio.data.pictures import Attributed, Captioned
    from genstudio.evaluation.classifier import per_attribute
    from genstudio.evaluation.prompt_score import Heads, prompt_score

    assert isinstance(pictures, Attributed) and isinstance(pictures, Captioned)
    places = range(len(pictures))
    captions, answer_NQ = pictures.captions(places), pictures.answers(places)
    found = _features(extractor, _all(pictures))
    assert found.attributes_BA is not None
    heads = Heads(found.attributes_BA, found.logits_BK)
    named = prompt_score(heads, captions, extractor.attributes)
    scored = prompt_score(heads, captions, extractor.attributes, labels_N=pictures.labels(places))
    accuracies = {
        name: float((logits_NV.argmax(1) == answer_N)[answer_N >= 0].double().mean())
        for (name, logits_NV), answer_N in zip(
            per_attribute(found.attributes_BA, extractor.attributes).items(), answer_NQ.T, strict=True
        )
    }
    return {
        "all values": accuracies,
        "prompt score": scored._asdict(),
        "by the caption alone": named._asdict(),
    }


def _scale(extractor: "Extractor", pictures: "Pictures") -> dict[str, float]:
    """Frechet distance of all pictures with noise from the same without."""
    import torch

    from genstudio.evaluation.frechet import Moments, frechet_distance

    pixels_NCHW = _all(pictures)
    noise_NCHW = torch.randn(pixels_NCHW.shape, generator=torch.Generator().manual_seed(NOISE_SEED))
    plain = Moments.of(_features(extractor, pixels_NCHW).pool_BD).gaussian
    found = {}
    for level in NOISE:
        noisy_NCHW = (pixels_NCHW + 255 * level * noise_NCHW).round().clamp(0, 255).byte()
        noisy = Moments.of(_features(extractor, noisy_NCHW).pool_BD).gaussian
        found[f"noise {level:g}"] = frechet_distance(noisy, plain)
    return found


def _all(pictures: "Pictures") -> "Tensor":
    return pictures.pixels(range(len(pictures)))


def _features(extractor: "Extractor", pixels_NCHW: "Tensor") -> "Features":
    import torch

    from genstudio.evaluation.extractor import Features

    parts = [extractor(part) for part in pixels_NCHW.split(BATCH)]
    columns = zip(*parts, strict=True)
    return Features(*(None if column[0] is None else torch.cat(column) for column in columns))


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
