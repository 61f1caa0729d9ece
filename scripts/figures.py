"""The README's figure: every class of a bundled model, seeds in order, nothing picked.

    python scripts/figures.py var-fashion --each 10

writes docs/MODEL-grid.png: one class per row, picture i of the whole run with seed i.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from genstudio.cli.main import guarded

DOCS = Path(__file__).parents[1] / "docs"
app = typer.Typer(add_completion=False)


@app.command()
def figures(
    model: Annotated[str, typer.Argument(help="A bundled generator.")] = "var-fashion",
    each: Annotated[int, typer.Option(help="Pictures of each class.")] = 10,
) -> None:
    """Draw the grid of one model."""
    import torch

    from genstudio import load
    from genstudio.media.grid import grid
    from genstudio.media.png import save_png

    studio = load(model)
    pictures = studio.sample(classes=list(range(len(studio.classes))), n=each, seed=0, batch=each)
    sheet = grid(torch.stack([picture.pixels_CHW for picture in pictures]), each)
    save_png(DOCS / f"{model}-grid.png", sheet)


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
