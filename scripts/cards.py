"""Measure bundled models by their protocols, and write checkpoints/README.md from what was measured.

    python scripts/cards.py                 # write the tables from checkpoints/scores.json alone
    python scripts/cards.py var-fashion     # measure first: a generator, a tokenizer or "fashion test"
    python scripts/cards.py --all

Tokenizers are scored on the test pictures of their data set sent through them and back, where those are too
few for a distance on the training pictures. "fashion test" is the scale: the real test pictures, and with
Gaussian noise.
"""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cards_page
import typer

from genstudio.cli.console import Meter
from genstudio.cli.main import guarded
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.data.pictures import Pictures, Split
    from genstudio.evaluation.evaluate import Evaluation
    from genstudio.releases.release import Release

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
SCORES, README = CHECKPOINTS / "scores.json", CHECKPOINTS / "README.md"
DATA_SETS = ("fashion",)
NOISE = (0.0, 0.02, 0.05, 0.1, 0.2)  # standard deviations, of pixels from 0 to 1
NOISE_SEED = 0
LEAST = 1_000  # pictures for a distance

app = typer.Typer(add_completion=False)


@app.command()
def cards(
    names: Annotated[list[str] | None, typer.Argument(help="What to measure before.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Measure all bundled models.")] = False,
) -> None:
    """Measure what is named, then write the tables."""
    from genstudio.files import write_text

    scores: dict[str, Any] = json.loads(SCORES.read_text()) if SCORES.is_file() else {}
    for name in [*_measurable()] if everything else names or []:
        scores[name] = {**_measure(name), "date": time.strftime("%Y-%m-%d")}
        write_text(SCORES, json.dumps(scores, indent=1, sort_keys=True) + "\n")
    write_text(README, cards_page.page(_bundled(), scores))


def _measurable() -> list[str]:
    scored = [one.name for one in _bundled() if one.method != "classifier"]
    return [*scored, *(f"{data} test" for data in DATA_SETS if _extractor_of(data) is not None)]


def _bundled() -> "list[Release]":
    from genstudio.releases import catalogue

    return [catalogue.read_folder(folder.parent) for folder in sorted(CHECKPOINTS.glob("*/release.json"))]


def _measure(name: str) -> dict[str, Any]:
    from genstudio.releases import catalogue

    data = name.removesuffix(" test")
    if data in DATA_SETS:
        return {f"noise {level:g}": _real(data, level) for level in NOISE}
    release = catalogue.find(name)
    return _generator(release) if release.tokenizer else _tokenizer(release)


def _generator(release: "Release") -> dict[str, Any]:
    """What `genstudio eval-fid NAME` says."""
    from genstudio.evaluation.evaluate import open_evaluation, sampled
    from genstudio.evaluation.plan import plan_for
    from genstudio.studio import Studio

    plan, studio = plan_for(release, release.name), Studio.load(release.name)
    evaluation = open_evaluation(plan, sampled(studio, plan))
    return {**_scored(evaluation), "seeds": [plan.seed, plan.seed + len(evaluation.extraction.source) - 1]}


def _tokenizer(release: "Release") -> dict[str, Any]:
    """Pictures through the tokenizer and back: a distance, and PSNR of test pictures."""
    from genstudio.evaluation.reconstruction import psnr, round_trip
    from genstudio.releases import weights
    from genstudio.training.recipe import read_recipe

    assert release.trained is not None
    data = read_recipe(release.trained.recipe).data
    network, test = weights.load(release), _real_set(data.source, "test")
    pixels_NCHW = test.pixels(range(len(test)))
    decibels = psnr(pixels_NCHW, round_trip(network, pixels_NCHW, release.pixels)).mean()
    split: Split = "test" if len(test) >= LEAST else "train"
    real = _real_set(data.source, split)
    again_NCHW = round_trip(network, real.pixels(range(len(real))), release.pixels)
    found = _scored(_held(data.source, f"{data.source} {split} through {release.name}", again_NCHW, real))
    return {**found, "pictures": f"{data.source} {split}", "psnr": float(decibels)}


def _real(data: str, level: float) -> dict[str, Any]:
    import torch

    test = _real_set(data, "test")
    pixels_NCHW = test.pixels(range(len(test)))
    noise = torch.randn(pixels_NCHW.shape, generator=torch.Generator().manual_seed(NOISE_SEED))
    noisy_NCHW = (pixels_NCHW + 255 * level * noise).round().clamp(0, 255).to(torch.uint8)
    return _scored(_held(data, f"{data} test, noise {level:g}", noisy_NCHW, test))


def _held(data: str, name: str, pixels_NCHW: "Tensor", test: "Pictures") -> "Evaluation":
    from genstudio.evaluation.evaluate import open_evaluation
    from genstudio.evaluation.plan import Plan
    from genstudio.evaluation.sources import Held

    source = Held(name, pixels_NCHW, test.labels(range(len(test))), test.classes)
    extractor = _extractor_of(data)
    assert extractor is not None
    plan = Plan(source=name, samples=None, extractor=extractor.name, reference=f"{data} train")
    return open_evaluation(plan, lambda _: source)


def _scored(evaluation: "Evaluation") -> dict[str, Any]:
    import torch

    name, total = evaluation.extraction.source.name, len(evaluation.extraction.source)
    with Meter(name, total) as meter:
        sample = evaluation.run(lambda progress: meter.reach(progress.done))
    result = evaluation.score(sample)
    evaluation.close()
    metrics = {
        key: {field: value for field, value in one._asdict().items() if value is not None}
        for key, one in result.metrics.items()
    }
    return {
        "samples": result.samples,
        "digest": result.digest,
        "seconds_per_image": result.seconds_per_image,
        "batch": evaluation.plan.batch,
        "threads": torch.get_num_threads(),
        "extractor": result.facts["extractor"],
        "reference": result.facts["reference"],
        "metrics": metrics,
    }


def _real_set(data: str, split: "Split") -> "Pictures":
    from genstudio.configs.features import ClassifierConfig
    from genstudio.data.sources import open_pictures

    extractor = _extractor_of(data)
    if extractor is None or not isinstance(extractor.config, ClassifierConfig):
        raise GenstudioError(f"No bundled classifier looks at {data}.", "Train one: genstudio train.")
    return open_pictures(data, split, extractor.config.pixels, extractor.config.channels)


def _extractor_of(data: str) -> "Release | None":
    return next((one for one in _bundled() if one.name == f"{data}-features"), None)


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
