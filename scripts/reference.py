"""Compute the reference statistics of a classifier from a training set, and write them beside its weights.

python scripts/reference.py fashion-features --data fashion
"""

import sys
from typing import Annotated, cast

import typer

from genstudio.cli.main import guarded

app = typer.Typer(add_completion=False)


@app.command()
def reference(
    extractor: Annotated[str, typer.Argument(help="A classifier: a release's name or folder.")],
    data: Annotated[str, typer.Option(help="A source of pictures; its training split is used.")] = "fashion",
) -> None:
    """Write reference.safetensors into the classifier's folder."""
    from genstudio.data.sources import open_pictures
    from genstudio.evaluation.classifier import Classifier
    from genstudio.evaluation.reference import REFERENCE, reference_statistics, save
    from genstudio.releases import catalogue, weights

    release = catalogue.find(extractor)
    classifier = cast(Classifier, weights.load(release))
    pictures = open_pictures(data, "train", classifier.config.pixels, classifier.config.channels)
    statistics = reference_statistics(classifier, pictures, extractor=release.name, source=f"{data} train")
    path = weights.resolve(release).with_name(REFERENCE)
    save(path, statistics)
    print(path)


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
