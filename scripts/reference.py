"""Compute the reference statistics of a classifier from a training set, and write them beside its weights.

python scripts/reference.py fashion-features --data fashion
"""

import sys
from typing import Annotated

import typer

from genstudio.cli.main import guarded
from genstudio.errors import GenstudioError

app = typer.Typer(add_completion=False)


@app.command()
def reference(
    extractor: Annotated[str, typer.Argument(help="A classifier: a release's name or folder.")],
    data: Annotated[str, typer.Option(help="A source of pictures; its training split is used.")] = "fashion",
) -> None:
    """Write reference.safetensors into the classifier's folder."""
    from genstudio.data.sources import open_pictures
    from genstudio.evaluation.extractor import open_extractor
    from genstudio.evaluation.reference import REFERENCE, reference_statistics, save_reference

    opened = open_extractor(extractor)
    if opened.folder is None or opened.pixels is None:
        raise GenstudioError(
            f"{opened.name} is no classifier.", "Give a classifier: fashion-features, a folder."
        )
    pictures = open_pictures(data, "train", opened.pixels, opened.channels)
    path = opened.folder / REFERENCE
    save_reference(path, reference_statistics(opened, pictures, source=f"{data} train"))
    print(path)


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
