"""Classifiers as extractors: independent of batches, known to torch-fidelity, strict about what they take."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity import (
    KEY_METRIC_FID,
    KEY_METRIC_ISC_MEAN,
    KEY_METRIC_KID_MEAN,
    KEY_METRIC_PRECISION,
    KEY_METRIC_RECALL,
    calculate_metrics,
)

from genstudio.configs.features import Attribute, ClassifierConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation.extractor import Extractor, open_extractor, register
from genstudio.evaluation.fidelity import lend, settings, with_channels
from genstudio.evaluation.frechet import Moments, frechet_distance
from genstudio.evaluation.inception_score import InceptionScore
from genstudio.evaluation.kernel_distance import kernel_distance
from genstudio.evaluation.precision_recall import precision_recall
from genstudio.releases import catalogue, weights
from tests.evaluation import stripes


@pytest.fixture(scope="module")
def fashion() -> Extractor:
    return open_extractor("fashion-features")


def pictures(count: int, seed: int) -> Tensor:
    """Smooth grey pictures of 32x32, different enough for covariances."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 6, 6, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(0, 255).to(torch.uint8)


def save(folder: Path, pixels_NCHW: Tensor) -> str:
    folder.mkdir()
    for index, pixels_CHW in enumerate(pixels_NCHW):
        Image.fromarray(pixels_CHW[0].numpy()).save(folder / f"{index:04}.png")
    return str(folder)


def test_the_bundled_classifier_opens_with_its_labels(fashion: Extractor) -> None:
    assert (fashion.name, fashion.features, fashion.channels, fashion.pixels) == (
        "fashion-features",
        128,
        1,
        32,
    )
    assert fashion.classes is not None and fashion.classes[9] == "Ankle boot"
    assert not fashion.official and fashion.attributes == ()
    found = fashion(pictures(5, seed=0))
    assert found.pool_BD.shape == (5, 128) and found.pool_BD.dtype == torch.float32
    assert found.logits_BK is not None and found.logits_BK.shape == (5, 10)
    assert found.spatial_BS is None and found.attributes_BA is None
    classifier = weights.load(catalogue.find("fashion-features"))
    scores = classifier(pictures(5, seed=0) / 127.5 - 1)
    torch.testing.assert_close(found.pool_BD, scores.features)
    torch.testing.assert_close(found.logits_BK, scores.logits)


def test_the_distance_does_not_depend_on_the_batch(fashion: Extractor) -> None:
    real = Moments.of(fashion(pictures(200, seed=1)).pool_BD).gaussian
    made = pictures(150, seed=2)
    values = []
    for batch in (1, 7, 64):
        pool_ND = torch.cat([fashion(part).pool_BD for part in made.split(batch)])
        values.append(frechet_distance(Moments.of(pool_ND).gaussian, real))
    assert values[0] > 0.1
    assert values[1:] == pytest.approx([values[0]] * 2, rel=1e-5)


def test_colour_pictures_are_read_as_grey_ones(fashion: Extractor) -> None:
    grey = pictures(4, seed=3)
    assert torch.equal(fashion(grey.expand(-1, 3, -1, -1)).pool_BD, fashion(grey).pool_BD)
    colour = torch.randint(
        0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(4)
    )
    for one in colour:
        pillow = np.array(Image.fromarray(one.permute(1, 2, 0).numpy()).convert("L"))
        assert np.array_equal(with_channels(one[None], 1)[0, 0].numpy(), pillow)
    assert torch.equal(with_channels(grey, 3), grey.repeat(1, 3, 1, 1))


def test_what_cannot_be_looked_at_is_refused(fashion: Extractor) -> None:
    with pytest.raises(GenstudioError, match="looks at 32x32 pixels, but the pictures have 20x28"):
        fashion(torch.zeros(1, 1, 28, 20, dtype=torch.uint8))
    with pytest.raises(GenstudioError, match="2 channels"):
        fashion(torch.zeros(1, 2, 32, 32, dtype=torch.uint8))
    with pytest.raises(TypeError, match="uint8"):
        fashion(torch.zeros(1, 1, 32, 32))


def test_names_that_are_no_extractor() -> None:
    with pytest.raises(GenstudioError, match="no classifier"):
        open_extractor("var-d16")
    with pytest.raises(GenstudioError, match="There is no model 'fashion-featurs'"):
        open_extractor("fashion-featurs")
    with pytest.raises(GenstudioError, match="weights of its own"):
        open_extractor("fashion-features", weights=Path("x.pth"))


def test_other_weights_are_another_digest_and_another_name_in_torch_fidelitys_cache(tmp_path: Path) -> None:
    one, other = (open_extractor(stripes.install(tmp_path / str(seed), seed)) for seed in (0, 1))
    assert one.name == other.name == "stripes"
    assert one.digest != other.digest
    assert one.network.get_name() != other.network.get_name()
    assert one.classes == ("class 0", "class 1", "class 2") and one.folder == tmp_path / "0"


def test_attributes_are_passed_on(tmp_path: Path) -> None:
    hair = Attribute(name="hair", values=("none", "red", "white"))
    config = ClassifierConfig(channels=3, pixels=16, width=4, features=8, classes=3, attributes=(hair, hair))
    opened = open_extractor(stripes.install(tmp_path, config=config))
    found = opened(stripes.pixels(4, seed=0))
    assert opened.attributes == (hair, hair) and opened.channels == 3
    assert found.attributes_BA is not None and found.attributes_BA.shape == (4, 6)


def test_torch_fidelity_computes_the_same_with_our_extractor(tmp_path: Path, fashion: Extractor) -> None:
    register("fashion-features")
    register("fashion-features")
    made, real = pictures(90, seed=5), pictures(120, seed=6)
    given = settings(
        input1=save(tmp_path / "made", made),
        input2=save(tmp_path / "real", real),
        feature_extractor="fashion-features",
        cuda=False,
        cache=False,
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=5,
        kid_subset_size=40,
        isc_splits=3,
        save_cpu_ram=True,
    )
    theirs = calculate_metrics(**given)
    ours, reference = fashion(made), fashion(real)
    assert ours.logits_BK is not None
    distance = frechet_distance(Moments.of(ours.pool_BD).gaussian, Moments.of(reference.pool_BD).gaussian)
    score = InceptionScore(90, 3)
    score.add(0, ours.logits_BK)
    manifold = precision_recall(reference.pool_BD, ours.pool_BD)
    assert theirs[KEY_METRIC_FID] == pytest.approx(distance, rel=1e-4)
    assert theirs[KEY_METRIC_ISC_MEAN] == pytest.approx(score.result().mean, rel=1e-6)
    kernel = kernel_distance(ours.pool_BD, reference.pool_BD, subsets=5, size=40)
    assert theirs[KEY_METRIC_KID_MEAN] == pytest.approx(kernel.mean, rel=1e-3)
    assert (theirs[KEY_METRIC_PRECISION], theirs[KEY_METRIC_RECALL]) == pytest.approx(
        tuple(manifold), abs=0.02
    )


def test_torch_fidelity_measures_against_statistics_that_are_lent(tmp_path: Path, fashion: Extractor) -> None:
    register("fashion-features")
    made, reference = pictures(90, seed=5), Moments.of(fashion(pictures(300, seed=6)).pool_BD).gaussian
    lent = lend(reference, fashion.network, tmp_path / "cache")
    given = settings(feature_extractor="fashion-features", cuda=False, save_cpu_ram=True)
    theirs = calculate_metrics(input1=save(tmp_path / "made", made), **{**given, **lent})
    ours = frechet_distance(Moments.of(fashion(made).pool_BD).gaussian, reference)
    assert theirs[KEY_METRIC_FID] == pytest.approx(ours, rel=1e-4)
    assert lend(reference, fashion.network, tmp_path / "cache") == lent
    shifted = reference._replace(mean_D=reference.mean_D + 1e-6)
    assert lend(shifted, fashion.network, tmp_path / "cache") != lent


def test_torch_fidelity_learns_of_classifiers_alone() -> None:
    with pytest.raises(GenstudioError, match="no classifier") as caught:
        register("var-d16")
    assert caught.value.code == Exit.USAGE
