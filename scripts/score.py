"""Sample a model by its recipe and score the pictures; prints JSON.

    python scripts/score.py var-fashion -n 10000

Beside the generator's row stand the tokenizer's (test pictures sent through it and back) and the real test
pictures' own: what a perfect tokenizer and a perfect generator would reach.
"""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from genstudio.cli.console import Meter, emit
from genstudio.cli.main import guarded

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.studio import Studio

app = typer.Typer(add_completion=False)


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="A generator: a release's name or folder.")],
    num: Annotated[int, typer.Option("-n", help="Pictures, spread evenly over the classes.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Picture i has seed SEED + i.")] = 0,
    batch: Annotated[int, typer.Option(help="Pictures sampled together.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
    data: Annotated[
        str, typer.Option(help="The source whose test split the tokenizer is tried on.")
    ] = "fashion",
    extractor: Annotated[str, typer.Option(help="The classifier whose features score.")] = "fashion-features",
) -> None:
    """Distance, precision, recall and class share of the generator, the tokenizer and the real test set."""
    from genstudio import load
    from genstudio.data.sources import open_pictures
    from genstudio.evaluation.extractor import open_extractor
    from genstudio.evaluation.reconstruction import round_trip
    from genstudio.evaluation.reference import find_reference
    from genstudio.evaluation.score import score as score_pictures

    studio = load(model, device=device)
    opened = open_extractor(extractor, device=studio.runtime.device)
    assert opened.pixels is not None
    reference = find_reference(f"{data} train", opened)
    test = open_pictures(data, "test", opened.pixels, opened.channels)
    real_NCHW, label_N = test.pixels(range(len(test))), test.labels(range(len(test)))
    again_NCHW = round_trip(studio.tokenizer, real_NCHW, studio.release.pixels)
    made_NCHW, asked_N, seconds = sample(studio, num, seed, batch)
    rows = {
        "generator": (made_NCHW, asked_N),
        "tokenizer": (again_NCHW, label_N),
        "real": (real_NCHW, label_N),
    }
    scores = {name: score_pictures(*row, opened, reference).as_dict() for name, row in rows.items()}
    emit({"model": studio.release.name, "seed": seed, "seconds": round(seconds, 1), **scores})


def sample(studio: "Studio", num: int, seed: int, batch: int) -> "tuple[Tensor, Tensor, float]":
    """Pixels [N,C,H,W], labels and the seconds that sampling took."""
    import torch

    from genstudio.events import Picture
    from genstudio.request import Request, choose_pictures

    wanted = choose_pictures(None, num, str(seed), len(studio.classes))
    request = Request(model=studio.release.name, pictures=wanted, recipe=studio.release.recipe, batch=batch)
    pictures, started = [], time.monotonic()
    with Meter("sampling", num) as meter:
        for event in studio.stream(request):
            if isinstance(event, Picture):
                pictures.append(event)
                meter.reach(len(pictures))
    pixels_NCHW = torch.stack([picture.pixels_CHW for picture in pictures])
    labels_N = torch.tensor([picture.wanted.label for picture in pictures])
    return pixels_NCHW, labels_N, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
