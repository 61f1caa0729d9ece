"""Inception end to end on a randomly filled file of the official form, against torch-fidelity's own run."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch_fidelity import (
    KEY_METRIC_FID,
    KEY_METRIC_ISC_MEAN,
    KEY_METRIC_ISC_STD,
    KEY_METRIC_KID_MEAN,
    calculate_metrics,
)
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import create_feature_extractor

from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation import inception
from genstudio.evaluation.extractor import Extractor, Features, open_extractor
from genstudio.evaluation.fidelity import settings
from genstudio.evaluation.frechet import Moments, frechet_distance
from genstudio.evaluation.inception_score import InceptionScore
from tests.support import genstudio

SPLITS = 2


class Unfilled(FeatureExtractorInceptionV3):
    """Official names and shapes, whatever lies in the file."""

    def load_state_dict(self, *_args: Any, **_named: Any) -> Any:
        return None


def tensors(folder: Path) -> dict[str, Tensor]:
    """Numbers that keep activations finite and unlike each other."""
    torch.save({}, folder / "empty.pth")
    network = Unfilled("unfilled", ["2048"], folder / "empty.pth")
    generator = torch.Generator().manual_seed(0)
    filled = {}
    for name, value in network.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim == 4:
            filled[name] = noise * (2 / value[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            filled[name] = 1 + 0.3 * noise.tanh()
        else:
            filled[name] = (0.1 * noise).to(value.dtype)
    return filled


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inception")
    torch.save(tensors(folder), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture(scope="module")
def extractor(file: Path) -> Extractor:
    return open_extractor("inception-v3-compat", weights=file)


def pictures(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 20, 24), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def made(extractor: Extractor) -> Features:
    return extractor(pictures(6, seed=1))


def saved(folder: Path, pixels_NCHW: Tensor) -> str:
    folder.mkdir()
    for index, pixels_CHW in enumerate(pixels_NCHW):
        Image.fromarray(pixels_CHW.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    return str(folder)


def test_the_official_form_has_566_tensors(file: Path, extractor: Extractor, made: Features) -> None:
    assert len(torch.load(file, weights_only=True)) == 566
    assert (extractor.name, extractor.features, extractor.spatial_features) == (
        "inception-v3-compat",
        2048,
        2023,
    )
    assert extractor.classes is None and extractor.pixels is None and extractor.channels == 3
    assert made.logits_BK is not None and made.spatial_BS is not None and made.attributes_BA is None
    assert [tuple(one.shape) for one in (made.pool_BD, made.logits_BK, made.spatial_BS)] == [
        (6, 2048),
        (6, 1008),
        (6, 2023),
    ]
    assert all(bool(one.isfinite().all()) for one in (made.pool_BD, made.logits_BK, made.spatial_BS))


def test_pool_and_logits_are_torch_fidelitys(file: Path, made: Features) -> None:
    theirs = create_feature_extractor(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        cuda=False,
        **settings(feature_extractor_weights_path=str(file)),
    )
    pool_BD, logits_BK = theirs(pictures(6, seed=1))
    assert made.logits_BK is not None
    torch.testing.assert_close(made.pool_BD, pool_BD)
    torch.testing.assert_close(made.logits_BK, logits_BK)


def test_spatial_features_are_seven_channels_of_mixed_6d_rows_first(
    extractor: Extractor, made: Features
) -> None:
    """From the input of Mixed_6d by hand: convolution, batch norm with eps 0.001, ReLU."""
    network = extractor.network.inception
    seen: list[Tensor] = []
    hook = network.Mixed_6c.register_forward_hook(lambda _module, _args, output: seen.append(output))
    extractor(pictures(6, seed=1))
    hook.remove()
    layer = network.Mixed_6d.branch1x1
    map_BCHW = torch.einsum("bchw,oc->bohw", seen[0], layer.conv.weight[:7, :, 0, 0])
    scale = (layer.bn.weight / (layer.bn.running_var + 1e-3).sqrt())[:7, None, None]
    map_BCHW = (map_BCHW - layer.bn.running_mean[:7, None, None]) * scale + layer.bn.bias[:7, None, None]
    assert made.spatial_BS is not None
    for picture, row, column, channel in ((0, 0, 0, 0), (2, 3, 16, 5), (5, 16, 0, 6)):
        expected = map_BCHW[picture, channel, row, column].clamp_min(0)
        found = made.spatial_BS[picture, (row * 17 + column) * 7 + channel]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made.spatial_BS.mean(), map_BCHW.clamp_min(0).mean(), rtol=1e-4, atol=1e-4)


def test_fid_and_inception_score_are_torch_fidelitys(
    tmp_path: Path, file: Path, extractor: Extractor, made: Features
) -> None:
    real = extractor(pictures(7, seed=2))
    theirs = calculate_metrics(
        **settings(
            input1=saved(tmp_path / "made", pictures(6, seed=1)),
            input2=saved(tmp_path / "real", pictures(7, seed=2)),
            feature_extractor_weights_path=str(file),
            fid=True,
            isc=True,
            isc_splits=SPLITS,
            cuda=False,
            cache=False,
            save_cpu_ram=True,
        )
    )
    distance = frechet_distance(Moments.of(made.pool_BD).gaussian, Moments.of(real.pool_BD).gaussian)
    assert theirs[KEY_METRIC_FID] == pytest.approx(distance, rel=1e-4)
    score = InceptionScore(6, SPLITS)
    assert made.logits_BK is not None
    score.add(0, made.logits_BK)
    expected = (theirs[KEY_METRIC_ISC_MEAN], theirs[KEY_METRIC_ISC_STD])
    assert tuple(score.result()) == pytest.approx(expected, rel=1e-5)


def test_a_picture_is_the_same_alone_and_in_a_batch(extractor: Extractor, made: Features) -> None:
    alone = extractor(pictures(6, seed=1)[4:5])
    torch.testing.assert_close(alone.pool_BD, made.pool_BD[4:5], rtol=1e-4, atol=1e-5)


def test_grey_pictures_are_looked_at_as_colour(extractor: Extractor) -> None:
    grey = pictures(1, seed=3)[:, :1]
    assert torch.equal(extractor(grey).pool_BD, extractor(grey.repeat(1, 3, 1, 1)).pool_BD)


def test_other_weights_are_not_official(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    assert not extractor.official
    begins = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(inception, "PUBLISHED", begins)
    assert open_extractor("inception-v3-compat", weights=file).official


def test_absent_weights_say_what_to_copy_where(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(GenstudioError, match="not on this machine") as caught:
        open_extractor("inception-v3-compat")
    assert caught.value.code == Exit.WEIGHTS
    for said in ("weights-inception-2015-12-05-6726825d.pth", str(home / "features"), "--feature-weights"):
        assert said in caught.value.hint


@pytest.mark.parametrize("place", ["home/features", "torch/hub/checkpoints"])
def test_the_cache_takes_the_published_file_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path, place: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cached = tmp_path / place / inception.FILE
    cached.parent.mkdir(parents=True)
    cached.symlink_to(file)
    with pytest.raises(GenstudioError, match="damaged or another file") as caught:
        open_extractor("inception-v3-compat")
    assert caught.value.code == Exit.WEIGHTS
    monkeypatch.setattr(inception, "PUBLISHED", hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    assert inception.find_weights() == cached and inception.is_published(cached)


class Payload:
    """A pickle of it would leave a file behind when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.target, "ran")


def test_code_in_a_file_of_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({"fc.weight": torch.zeros(2), "more": Payload(target)}, path)
    with pytest.raises(GenstudioError, match="holds code besides tensors") as caught:
        open_extractor("inception-v3-compat", weights=path)
    assert caught.value.code == Exit.WEIGHTS
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists()


def test_files_of_another_form_are_refused(tmp_path: Path, file: Path) -> None:
    held = torch.load(file, weights_only=True)
    path = tmp_path / "x.safetensors"
    with pytest.raises(GenstudioError, match="cannot be read") as caught:
        open_extractor("inception-v3-compat", weights=path)
    assert caught.value.code == Exit.WEIGHTS
    save_file({"fc.weight": held["fc.weight"]}, path)
    with pytest.raises(GenstudioError, match="it has 1 tensors, not 566"):
        open_extractor("inception-v3-compat", weights=path)
    save_file({**held, "fc.bias": held["fc.bias"][:1000].clone()}, path)
    with pytest.raises(GenstudioError, match=r"size mismatch for fc\.bias"):
        open_extractor("inception-v3-compat", weights=path)


def test_safetensors_of_the_same_tensors_are_as_good(
    tmp_path: Path, file: Path, extractor: Extractor
) -> None:
    save_file(torch.load(file, weights_only=True), tmp_path / "x.safetensors")
    again = open_extractor("inception-v3-compat", weights=tmp_path / "x.safetensors")
    assert again.digest == extractor.digest


def test_eval_fid_of_two_folders_is_torch_fidelitys_and_says_whose_weights(
    home: Path, tmp_path: Path, file: Path
) -> None:
    folders = [saved(tmp_path / name, pictures(12, seed)) for name, seed in (("made", 1), ("real", 2))]
    chosen = {"fid": True, "isc": True, "kid": True, "kid_subset_size": 12, "cuda": False, "cache": False}
    theirs = calculate_metrics(
        **settings(
            input1=folders[0],
            input2=folders[1],
            feature_extractor_weights_path=str(file),
            save_cpu_ram=True,
            **chosen,
        )
    )
    words = ("eval-fid", folders[0], "--reference", folders[1], "--feature-weights", file, "--batch", 5)
    ours = genstudio(*words, "--metrics", "fid,sfid,is,kid,pr,dc", "--json").data["metrics"]
    assert ours["frechet"]["value"] == pytest.approx(theirs[KEY_METRIC_FID], rel=1e-4)
    assert ours["is"]["value"] == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-4)
    assert ours["kid"]["value"] == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-3)
    assert ours["frechet"]["label"].startswith("Frechet distance-12 (inception-v3-compat, weights ")
    assert ours.keys() == {"frechet", "sfid", "is", "kid", "precision", "recall", "density", "coverage"}
