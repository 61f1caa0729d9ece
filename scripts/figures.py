"""The figures of the documents, from bundled models: seeds in order, nothing picked.

    python scripts/figures.py grid var-fashion --each 10
    python scripts/figures.py edits

`grid` writes docs/MODEL-grid.png, one class per row, picture i of the whole run with seed i. `edits` writes
docs/var-fashion-edits.png: the first test picture of every class, of which the left half is kept.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from genstudio.cli.main import guarded

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.studio import Studio

DOCS = Path(__file__).parents[1] / "docs"
app = typer.Typer(add_completion=False)


@app.command()
def grid(
    model: Annotated[str, typer.Argument(help="A bundled generator.")] = "var-fashion",
    each: Annotated[int, typer.Option(help="Pictures of each class.")] = 10,
) -> None:
    """Draw the grid of one model."""
    import torch

    from genstudio import load
    from genstudio.media.grid import grid as sheet
    from genstudio.media.png import save_png

    studio = load(model)
    pictures = studio.sample(classes=list(range(len(studio.classes))), n=each, seed=0, batch=each)
    save_png(DOCS / f"{model}-grid.png", sheet(torch.stack([one.pixels_CHW for one in pictures]), each))


@app.command()
def edits(each: Annotated[int, typer.Option(help="Edits of each kind.")] = 4) -> None:
    """Draw test pictures, their edits of their own class, and those of no class."""
    import torch

    from genstudio import load
    from genstudio.data.sources import open_pictures
    from genstudio.media.grid import grid as sheet
    from genstudio.media.png import save_png

    studio, source = load("var-fashion"), open_pictures("fashion", "test", 32, 1)
    labels = source.labels(range(200)).tolist()
    shown: list[Tensor] = []
    with TemporaryDirectory() as folder:
        for label in range(len(studio.classes)):
            given_CHW = source.pixels([labels.index(label)])[0]
            shown += [given_CHW, *_edited(studio, given_CHW, label, each, Path(folder))]
    captions = ["given", *["its class"] * each, *["no class"] * each] * len(studio.classes)
    save_png(DOCS / "var-fashion-edits.png", sheet(torch.stack(shown), 1 + 2 * each, captions))


def _edited(studio: "Studio", given_CHW: "Tensor", label: int, each: int, folder: Path) -> "list[Tensor]":
    """`each` pictures whose right half is new, of the class and of none."""
    import torch

    from genstudio.media.png import save_png

    mask_CHW = torch.zeros_like(given_CHW)
    mask_CHW[..., mask_CHW.shape[-1] // 2 :] = 255
    picture, mask = folder / f"{label}.png", folder / "mask.png"
    save_png(picture, given_CHW)
    save_png(mask, mask_CHW)
    return [
        one.pixels_CHW
        for classes in (label, None)
        for one in studio.sample(classes, n=each, seed=0, image=picture, mask=mask)
    ]


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
