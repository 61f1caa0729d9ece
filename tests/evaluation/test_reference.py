"""Reference statistics: made, stored, found by name, read from other programs' files, and refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation import reference as references
from genstudio.evaluation.extractor import Extractor, open_extractor
from genstudio.evaluation.frechet import Gaussian, Moments
from genstudio.evaluation.reference import (
    BATCH,
    REFERENCE,
    ReferenceStatistics,
    find_reference,
    read_reference,
    reference_statistics,
    save_reference,
)
from tests.evaluation import stripes
from tests.evaluation.stripes import Stripes, pixels

COUNT = BATCH + 100


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    return open_extractor(stripes.install(tmp_path_factory.mktemp("stripes")))


@pytest.fixture(scope="module")
def reference(extractor: Extractor) -> ReferenceStatistics:
    return reference_statistics(extractor, Stripes(COUNT, 0), source="stripes train")


def gaussian(features: int) -> Gaussian:
    rows_ND = torch.randn(3 * features, features, generator=torch.Generator().manual_seed(features))
    return Moments.of(rows_ND).gaussian


def test_statistics_are_those_of_all_pictures(extractor: Extractor, reference: ReferenceStatistics) -> None:
    whole = Moments.of(extractor(pixels(COUNT, seed=0)).pool_BD)
    assert reference.count == COUNT and reference.extractor == "stripes" and reference.spatial is None
    torch.testing.assert_close(reference.gaussian.mean_D, whole.mean_D, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(reference.gaussian.covariance_DD, whole.covariance_DD, rtol=1e-4, atol=1e-6)


def test_kept_features_are_spread_over_all_pictures(
    monkeypatch: pytest.MonkeyPatch, extractor: Extractor
) -> None:
    monkeypatch.setattr(references, "KEPT", 50)
    few = reference_statistics(extractor, Stripes(COUNT, 0), source="").features(extractor)
    every_ND = extractor(pixels(COUNT, seed=0)).pool_BD
    torch.testing.assert_close(few, every_ND[:: COUNT // 50][:50].half().float(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["reference.safetensors", "reference.npz"])
def test_statistics_come_back_from_disk(
    tmp_path: Path, extractor: Extractor, reference: ReferenceStatistics, name: str
) -> None:
    whole = replace(reference, spatial=gaussian(5))
    save_reference(tmp_path / name, whole)
    again = read_reference(tmp_path / name)
    for ours, theirs in ((again.gaussian, whole.gaussian), (again.spatial, whole.spatial)):
        assert ours is not None and theirs is not None
        assert torch.equal(ours.mean_D, theirs.mean_D)
        assert torch.equal(ours.covariance_DD, theirs.covariance_DD)
    assert (again.source, again.count, again.extractor) == ("stripes train", COUNT, "stripes")
    assert again.has_features == name.endswith(".safetensors")
    assert again.sha256 == references.digest(tmp_path / name)
    again.check(extractor)


def test_the_bundled_statistics_are_found_by_their_source() -> None:
    found = find_reference("fashion train", open_extractor("fashion-features"))
    assert (
        found.count == 60_000 and found.features_ND is not None and found.features_ND.shape == (10_000, 128)
    )


def test_a_name_or_a_file_must_exist(home: Path, extractor: Extractor) -> None:
    assert extractor.folder is not None
    with pytest.raises(GenstudioError, match="no reference statistics 'fashion train'") as caught:
        find_reference("fashion train", extractor)
    assert "imagenet-256" in caught.value.hint
    with pytest.raises(GenstudioError, match="not on this machine") as caught:
        find_reference("imagenet-512", extractor)
    assert caught.value.code == Exit.WEIGHTS
    assert "VIRTUAL_imagenet512.npz" in caught.value.hint and str(home / "references") in caught.value.hint


def test_a_split_of_a_users_folder_is_seen_at_the_extractors_size(
    tmp_path: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 9), ("test", 4)):
        (tmp_path / "mine" / split / "cat").mkdir(parents=True)
        for number in range(count):
            size = (20 + number, 31)
            Image.new("L", size, 20 * number).save(tmp_path / "mine" / split / "cat" / f"{number}.png")
    found = find_reference("mine train", extractor)
    assert (found.count, found.source, found.extractor) == (9, "mine train", extractor.name)
    assert found.has_features and find_reference("mine test", extractor).count == 4
    with pytest.raises(GenstudioError, match="no reference statistics 'mine val'"):
        find_reference("mine val", extractor)


def test_other_weights_and_other_widths_are_refused(
    tmp_path: Path, extractor: Extractor, reference: ReferenceStatistics
) -> None:
    save_reference(tmp_path / REFERENCE, reference)
    other = open_extractor(stripes.install(tmp_path / "other", seed=1))
    with pytest.raises(GenstudioError, match="made by another stripes") as caught:
        find_reference(str(tmp_path / REFERENCE), other)
    assert caught.value.code == Exit.WEIGHTS
    wide = replace(reference, gaussian=gaussian(20), features_ND=None, digest=None)
    save_reference(tmp_path / "wide.npz", wide)
    with pytest.raises(GenstudioError, match="has 20 features, stripes makes 8"):
        find_reference(str(tmp_path / "wide.npz"), extractor)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pytorch_fids_file_has_moments_alone(tmp_path: Path, extractor: Extractor, dtype: type) -> None:
    mean, covariance = gaussian(8)
    path = tmp_path / "stats.npz"
    np.savez(path, mu=mean.numpy().astype(dtype), sigma=covariance.numpy().astype(dtype))
    found = find_reference(str(path), extractor)
    assert found.gaussian.covariance_DD.dtype == torch.float64
    torch.testing.assert_close(found.gaussian.mean_D, mean, rtol=1e-3, atol=1e-3)
    assert (found.source, found.count, found.extractor, found.has_features) == (
        "stats.npz",
        None,
        None,
        False,
    )
    with pytest.raises(GenstudioError, match="moments alone"):
        found.features(extractor)


def test_an_adm_file_gives_moments_at_once_and_features_when_asked(
    tmp_path: Path, home: Path, extractor: Extractor
) -> None:
    """The moments are of another, larger set than the pictures, and win over them."""
    mean, covariance = gaussian(8)
    spatial_mean, spatial_covariance = gaussian(6)
    some_NCHW = pixels(BATCH + 30, seed=4)
    path = home / "references" / "VIRTUAL_imagenet256_labeled.npz"
    path.parent.mkdir(parents=True)
    np.savez(
        path,
        arr_0=some_NCHW.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy(),
        mu=mean,
        sigma=covariance,
        mu_s=spatial_mean,
        sigma_s=spatial_covariance,
    )
    found = find_reference("imagenet-256", extractor)
    assert found.source == "imagenet-256" and torch.equal(found.gaussian.mean_D, mean)
    assert found.spatial is not None and torch.equal(found.spatial.covariance_DD, spatial_covariance)
    assert found.features_ND is None and found.has_features
    again = [found.features(extractor) for _ in range(2)]
    torch.testing.assert_close(again[0], extractor(some_NCHW).pool_BD, rtol=1e-5, atol=1e-5)
    assert torch.equal(again[0], again[1])


def test_damaged_files_are_named(tmp_path: Path, reference: ReferenceStatistics) -> None:
    for name in ("reference.safetensors", "reference.npz"):
        path = tmp_path / name
        with pytest.raises(GenstudioError, match=name) as caught:
            read_reference(path)
        assert caught.value.code == Exit.WEIGHTS
        save_reference(path, reference)
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(GenstudioError, match=name):
            read_reference(path)
        path.write_bytes(b"no statistics")
        with pytest.raises(GenstudioError, match=name):
            read_reference(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(GenstudioError, match="cannot be written"):
        save_reference(tmp_path / "file" / "reference.safetensors", reference)


def test_what_is_no_statistics_is_refused(tmp_path: Path) -> None:
    mean, covariance = (tensor.numpy() for tensor in gaussian(4))
    path = tmp_path / "x.npz"
    wrong = {
        "no mu": {"weights": mean},
        "sigma": {"mu": mean},
        "shapes": {"mu": mean, "sigma": covariance[:3]},
        "NaN": {"mu": mean, "sigma": np.full_like(covariance, np.nan)},
        "allow_pickle": {"mu": np.array([object()] * 4), "sigma": covariance},
    }
    for reason, arrays in wrong.items():
        np.savez(path, **arrays)
        with pytest.raises(GenstudioError, match=reason) as caught:
            read_reference(path)
        assert caught.value.code == Exit.WEIGHTS


def test_pictures_of_another_form_are_refused(tmp_path: Path) -> None:
    mean, covariance = gaussian(4)
    path = tmp_path / "x.npz"
    np.savez(path, mu=mean, sigma=covariance, arr_0=np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(GenstudioError, match="not uint8"):
        read_reference(path)
