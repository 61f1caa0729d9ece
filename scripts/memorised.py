"""How much of its training set a model knows by heart, in numbers and as a figure.

    python scripts/memorised.py var-emoji --figure docs/var-emoji-grid.png

The figure shows every class once, seeds in order and nothing picked, with the nearest training picture below.
The numbers are of pictures whose labels are as frequent as in training; "held out" are real pictures that
training never saw, sent through the tokenizer: what the share of copies is where nothing can be remembered.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.console import Meter, emit
from genstudio.cli.main import guarded

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.data.pictures import Pictures
    from genstudio.evaluation.nearest import Nearest
    from genstudio.studio import Studio

PER_ROW = 11
app = typer.Typer(add_completion=False)


@app.command()
def memorised(
    model: Annotated[str, typer.Argument(help="A generator that was trained here.")] = "var-emoji",
    num: Annotated[int, typer.Option("-n", help="Pictures to compare.")] = 2_000,
    figure: Annotated[Path | None, typer.Option(help="Where the grid goes.")] = None,
) -> None:
    """Print shares of copies, and draw the grid."""
    from genstudio import load
    from genstudio.evaluation.nearest import nearest
    from genstudio.media.png import save_png

    studio = load(model)
    train, test = (_real(studio, split) for split in ("train", "test"))
    kept, seen = _through(studio, train), _through(studio, test)
    made = _made(studio, num)
    emit(
        {
            "model": model,
            "pictures": num,
            "training pictures": len(train),
            "made": _shares(nearest(made, train), train, kept),
            "held out": _shares(nearest(seen, train), train, kept),
        }
    )
    if figure is not None:
        save_png(figure, _sheet(studio, train))


def _shares(found: "Nearest", train: "Tensor", reconstructed: "Tensor") -> dict[str, Any]:
    from genstudio.evaluation.nearest import apart, copies

    return {
        "copies": float(copies(found, apart(train, reconstructed)).double().mean()),
        "median distance": float(found.distance_N.median()),
        "different training pictures": len(found.index_N.unique()),
    }


def _made(studio: "Studio", num: int) -> "Tensor":
    """Pictures as `genstudio eval-fid --labels training` makes them."""
    import torch

    from genstudio.evaluation.plan import plan_for
    from genstudio.evaluation.sources import Sampled

    plan = plan_for(studio.release, studio.release.name, samples=num, labels="training")
    source = Sampled(studio, plan)
    with Meter("pictures", num) as meter:
        parts = []
        for at in source.request.batches():
            parts.append(source.take(at, lambda _: None).pixels_NCHW)
            meter.reach(at.stop)
    return torch.cat(parts)


def _sheet(studio: "Studio", train: "Tensor") -> "Tensor":
    """Rows of pictures, each above the row of its nearest training pictures."""
    import torch

    from genstudio.evaluation.nearest import nearest
    from genstudio.media.grid import grid

    classes = list(range(len(studio.classes)))
    made = torch.stack([one.pixels_CHW for one in studio.sample(classes, n=1, seed=0, batch=50)])
    close = train[nearest(made, train).index_N]
    rows = [part for pair in zip(made.split(PER_ROW), close.split(PER_ROW), strict=True) for part in pair]
    return grid(torch.cat(rows), PER_ROW)


def _through(studio: "Studio", pixels_NCHW: "Tensor") -> "Tensor":
    from genstudio.evaluation.reconstruction import round_trip

    return round_trip(studio.tokenizer, pixels_NCHW, studio.release.pixels)


def _real(studio: "Studio", split: str) -> "Tensor":
    """All pictures of the data set that the model was trained on."""
    from genstudio.data.sources import open_pictures
    from genstudio.training.recipe import read_recipe

    assert studio.release.trained is not None
    data = read_recipe(studio.release.trained.recipe).data
    source: Pictures = open_pictures(data.source, split, data.pixels, data.channels)  # type: ignore[arg-type]
    return source.pixels(range(len(source)))


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
