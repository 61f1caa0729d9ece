"""Scoring through a tiny classifier: reports that move the right way."""

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.evaluation.extractor import Extractor, open_extractor
from genstudio.evaluation.reference import BATCH, ReferenceStatistics, reference_statistics
from genstudio.evaluation.score import score
from tests.evaluation import stripes
from tests.evaluation.stripes import Stripes

COUNT = BATCH + 100


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    return open_extractor(stripes.install(tmp_path_factory.mktemp("stripes")))


@pytest.fixture(scope="module")
def reference(extractor: Extractor) -> ReferenceStatistics:
    return reference_statistics(extractor, Stripes(COUNT, 0), source="stripes train")


def pixels(seed: int) -> torch.Tensor:
    return stripes.pixels(COUNT, seed)


def test_real_pictures_score_better_than_noisy_ones(
    extractor: Extractor, reference: ReferenceStatistics
) -> None:
    real = pixels(seed=1)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(2))
    noisy = [(real + level * noise).clamp(0, 255).to(torch.uint8) for level in (0, 20, 60)]
    reports = [score(one, None, extractor, reference) for one in noisy]
    distances = [report.distance for report in reports]
    assert distances == sorted(distances) and distances[2] > 10 * distances[0]
    assert reports[0].precision > 0.9 and reports[0].recall > 0.9 and reports[2].precision < 0.5


def test_a_single_repeated_picture_has_no_recall(
    extractor: Extractor, reference: ReferenceStatistics
) -> None:
    one = pixels(seed=1)[:1].repeat(100, 1, 1, 1)
    report = score(one, None, extractor, reference)
    assert report.precision == 1 and report.recall < 0.05


def test_the_class_share_counts_requested_labels(
    extractor: Extractor, reference: ReferenceStatistics
) -> None:
    x = pixels(seed=1)
    said_N = extractor(x).logits_BK.argmax(1)
    assert score(x, said_N, extractor, reference).class_share == 1
    asked_N = said_N.clone()
    asked_N[: COUNT // 4] = (said_N[: COUNT // 4] + 1) % 3
    assert score(x, asked_N, extractor, reference).class_share == 0.75


def test_the_report_names_extractor_and_count_and_never_fid(
    extractor: Extractor, reference: ReferenceStatistics
) -> None:
    report = score(pixels(seed=1), None, extractor, reference).as_dict()
    assert "stripes distance, 600 samples" in report and not any("fid" in key.lower() for key in report)
    thousand = score(pixels(seed=1).repeat(2, 1, 1, 1)[:1000], None, extractor, reference)
    assert "stripes distance, 1k samples" in thousand.as_dict()


def test_another_extractor_is_refused(
    tmp_path_factory: pytest.TempPathFactory, reference: ReferenceStatistics
) -> None:
    other = open_extractor(stripes.install(tmp_path_factory.mktemp("other"), seed=1))
    with pytest.raises(GenstudioError, match="another stripes"):
        score(pixels(seed=1), None, other, reference)
