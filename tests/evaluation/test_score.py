"""Scoring through a tiny classifier: statistics on disk, and reports that move the right way."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from genstudio.configs.features import ClassifierConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation import reference as references
from genstudio.evaluation.classifier import Classifier
from genstudio.evaluation.features import BATCH, features, weights_digest
from genstudio.evaluation.reference import ReferenceStatistics, reference_statistics
from genstudio.evaluation.score import score
from genstudio.releases import weights
from genstudio.releases.release import Release

CONFIG = ClassifierConfig(channels=1, pixels=16, width=4, features=8, classes=3)
COUNT = BATCH + 100


@dataclass
class Stripes:
    """Pictures whose class is the direction of their stripes, at random phases and contrasts."""

    count: int
    seed: int
    classes = ("across", "down", "none")
    fingerprint = "stripes"

    def __len__(self) -> int:
        return self.count

    def labels(self, indices: torch.Tensor | range) -> torch.Tensor:
        return torch.as_tensor(indices) % 3

    def pixels(self, indices: torch.Tensor | range) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        phase, contrast = torch.rand(2, self.count, 1, generator=generator)
        wave = torch.sin(torch.arange(16) * 1.5 + phase * 6.3) * (0.2 + 0.8 * contrast)
        flat = torch.zeros_like(wave)
        across = torch.stack([wave, flat, flat])[torch.arange(self.count) % 3, torch.arange(self.count)]
        down = torch.stack([flat, wave, flat])[torch.arange(self.count) % 3, torch.arange(self.count)]
        level = 127.5 + 120 * (across[:, :, None] + down[:, None, :])
        return level.to(torch.uint8)[torch.as_tensor(indices)][:, None]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(CONFIG).eval()


@pytest.fixture(scope="module")
def reference(classifier: Classifier) -> ReferenceStatistics:
    return reference_statistics(classifier, Stripes(COUNT, 0), extractor="stripes", source="stripes train")


def pixels(seed: int) -> torch.Tensor:
    return Stripes(COUNT, seed).pixels(range(COUNT))


def test_real_pictures_score_better_than_noisy_ones(
    classifier: Classifier, reference: ReferenceStatistics
) -> None:
    real = pixels(seed=1)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(2))
    noisy = [(real + level * noise).clamp(0, 255).to(torch.uint8) for level in (0, 20, 60)]
    reports = [score(one, None, classifier, reference) for one in noisy]
    distances = [report.distance for report in reports]
    assert distances == sorted(distances) and distances[2] > 10 * distances[0]
    assert reports[0].precision > 0.9 and reports[0].recall > 0.9 and reports[2].precision < 0.5


def test_a_single_repeated_picture_has_no_recall(
    classifier: Classifier, reference: ReferenceStatistics
) -> None:
    one = pixels(seed=1)[:1].repeat(100, 1, 1, 1)
    report = score(one, None, classifier, reference)
    assert report.precision == 1 and report.recall < 0.05


def test_the_class_share_counts_requested_labels(
    classifier: Classifier, reference: ReferenceStatistics
) -> None:
    x = pixels(seed=1)
    said_N = features(classifier, x).logits.argmax(1)
    assert score(x, said_N, classifier, reference).class_share == 1
    asked_N = said_N.clone()
    asked_N[: COUNT // 4] = (said_N[: COUNT // 4] + 1) % 3
    assert score(x, asked_N, classifier, reference).class_share == 0.75


def test_the_report_names_extractor_and_count_and_never_fid(
    classifier: Classifier, reference: ReferenceStatistics
) -> None:
    report = score(pixels(seed=1), None, classifier, reference).as_dict()
    assert "stripes distance, 600 samples" in report and not any("fid" in key.lower() for key in report)
    thousand = score(pixels(seed=1).repeat(2, 1, 1, 1)[:1000], None, classifier, reference)
    assert "stripes distance, 1k samples" in thousand.as_dict()


def test_statistics_come_back_from_disk(
    tmp_path: Path, classifier: Classifier, reference: ReferenceStatistics
) -> None:
    path = tmp_path / "reference.safetensors"
    references.save(path, reference)
    again = references.load(path)
    assert again.moments.count == COUNT and again.source == "stripes train"
    assert torch.equal(again.moments.mean_D, reference.moments.mean_D)
    torch.testing.assert_close(again.moments.covariance_DD, reference.moments.covariance_DD)
    assert torch.equal(again.features_ND, reference.features_ND)
    again.check(classifier)
    (tmp_path / "file").write_text("")
    with pytest.raises(GenstudioError, match="cannot be written"):
        references.save(tmp_path / "file" / "reference.safetensors", reference)


def test_kept_features_are_spread_over_all_pictures(
    monkeypatch: pytest.MonkeyPatch, classifier: Classifier
) -> None:
    monkeypatch.setattr(references, "KEPT", 50)
    few = reference_statistics(classifier, Stripes(COUNT, 0), extractor="", source="")
    every_ND = features(classifier, pixels(seed=0)).features.half()
    assert torch.equal(few.features_ND, every_ND[:: COUNT // 50][:50])
    assert few.moments.count == COUNT


def test_another_classifier_and_damaged_files_are_errors(
    tmp_path: Path, classifier: Classifier, reference: ReferenceStatistics
) -> None:
    with pytest.raises(GenstudioError, match="another stripes") as caught:
        score(pixels(seed=1), None, Classifier(CONFIG), reference)
    assert caught.value.code == Exit.WEIGHTS
    path = tmp_path / "reference.safetensors"
    with pytest.raises(GenstudioError, match=r"reference\.safetensors"):
        references.load(path)
    references.save(path, reference)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(GenstudioError, match=r"reference\.safetensors"):
        references.load(path)


def test_an_extractor_is_found_with_its_statistics(
    tmp_path: Path, classifier: Classifier, reference: ReferenceStatistics
) -> None:
    release = Release(name="stripes", title="", config=CONFIG, licence=None, source="")
    weights.save_release(tmp_path, classifier, release)
    references.save(tmp_path / references.REFERENCE, reference)
    loaded, statistics = references.load_extractor(str(tmp_path))
    assert torch.equal(loaded.head.weight, classifier.head.weight) and statistics.source == "stripes train"
    weights.save_release(tmp_path, Classifier(CONFIG), release)
    with pytest.raises(GenstudioError, match="another stripes"):
        references.load_extractor(str(tmp_path))
    with pytest.raises(GenstudioError, match="no classifier"):
        references.load_extractor("var-d16")


def test_the_digest_follows_the_weights(classifier: Classifier) -> None:
    copy = Classifier(CONFIG)
    copy.load_state_dict(classifier.state_dict())
    assert weights_digest(copy) == weights_digest(classifier)
    with torch.no_grad():
        copy.head.bias[0] += 1e-3
    assert weights_digest(copy) != weights_digest(classifier)
