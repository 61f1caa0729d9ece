"""Scores of a run: numbers that move the right way, under names that say what they are."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genstudio.evaluation.evaluate import open_evaluation
from genstudio.evaluation.extractor import Extractor, open_extractor
from genstudio.evaluation.plan import Plan
from genstudio.evaluation.reference import reference_statistics, save_reference
from genstudio.evaluation.scores import Measured, label_of, short
from genstudio.evaluation.sources import Held
from tests.evaluation import stripes
from tests.evaluation.stripes import Stripes

COUNT = 600


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stripes' classifier, with the statistics of its training pictures beside it."""
    folder = Path(stripes.install(tmp_path_factory.mktemp("stripes")))
    statistics = reference_statistics(open_extractor(str(folder)), Stripes(COUNT, 0), source="stripes train")
    save_reference(folder / "reference.safetensors", statistics)
    return folder


@pytest.fixture(scope="module")
def extractor(installed: Path) -> Extractor:
    return open_extractor(str(installed))


def scores(
    pixels_NCHW: torch.Tensor, installed: Path, labels_N: torch.Tensor | None = None
) -> dict[str, Measured]:
    count = len(pixels_NCHW)
    asked_N = torch.zeros(count, dtype=torch.int64) if labels_N is None else labels_N
    classes = open_extractor(str(installed)).classes
    assert classes is not None
    source = Held("stripes", pixels_NCHW, asked_N, classes)
    plan = Plan(source="stripes", samples=None, extractor=str(installed), reference="stripes train")
    evaluation = open_evaluation(plan, lambda _: source)
    found = evaluation.score(evaluation.run()).metrics
    evaluation.close()
    return found


def test_noise_costs_distance_and_precision(home: Path, installed: Path) -> None:
    real = stripes.pixels(COUNT, seed=1)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(2))
    noisy = [(real + level * noise).clamp(0, 255).to(torch.uint8) for level in (0, 5, 20, 60)]
    found = [scores(one, installed) for one in noisy]
    distances = [one["frechet"].value for one in found]
    assert distances == sorted(distances) and distances[3] > 10 * distances[0]
    kernels = [one["kid"].value for one in found]
    assert kernels == sorted(kernels)
    assert found[0]["precision"].value > 0.9 and found[0]["recall"].value > 0.9
    assert found[3]["precision"].value < 0.5 and found[3]["coverage"].value < found[0]["coverage"].value


def test_a_single_repeated_picture_has_no_recall(home: Path, installed: Path) -> None:
    found = scores(stripes.pixels(COUNT, seed=1)[:1].repeat(100, 1, 1, 1), installed)
    assert found["precision"].value == 1
    assert found["recall"].value < 0.05 and found["coverage"].value < 0.05


def test_the_class_share_counts_the_labels_asked_for(
    home: Path, installed: Path, extractor: Extractor
) -> None:
    pixels = stripes.pixels(COUNT, seed=1)
    logits_NK = extractor(pixels).logits_BK
    assert logits_NK is not None
    said_N = logits_NK.argmax(1)
    assert scores(pixels, installed, said_N)["class_share"].value == 1
    said_N[: COUNT // 4] = (said_N[: COUNT // 4] + 1) % 3
    assert scores(pixels, installed, said_N)["class_share"].value == 0.75


def test_small_samples_have_a_value_and_no_interval(home: Path, installed: Path) -> None:
    few = scores(stripes.pixels(COUNT, seed=1)[:30], installed)["frechet"]
    assert few.low is None and few.bias is None and few.value > 0
    two = scores(stripes.pixels(COUNT, seed=1)[:2], installed)
    assert two.keys() == {"frechet", "kid", "class_share"}


def test_a_number_is_called_what_it_is(extractor: Extractor) -> None:
    inception = replace(extractor, name="inception-v3-compat", official=True)
    other = replace(inception, official=False)
    assert label_of("Frechet distance", "FID", inception, 50_000) == "FID"
    assert label_of("Frechet distance", "FID", inception, 49_999) == "FID-49999"
    assert label_of("Frechet distance", "FID", inception, 5_000) == "FID-5k"
    named = label_of("Frechet distance", None, other, 50_000)
    assert named == f"Frechet distance (inception-v3-compat, weights {extractor.digest[:8]})"
    assert label_of("recall", None, extractor, 2_000) == "recall-2k (stripes)"
    assert [short(count) for count in (999, 1_000, 1_500, 10_000)] == ["999", "1k", "1500", "10k"]
