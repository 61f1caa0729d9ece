"""Clips before I3D and the two distances behind them."""

import pytest
import torch
from torch import Tensor

from genstudio.evaluation.frechet import Moments, frechet_distance
from genstudio.evaluation.fvd import reduced, styleganv_clips, videogpt_clips, videogpt_distance


def clips(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 4, height, width, generator=generator)


@pytest.mark.parametrize(("height", "width"), [(40, 52), (61, 33), (224, 224), (90, 90), (500, 224)])
def test_clips_become_square_and_keep_their_frames(height: int, width: int) -> None:
    made = styleganv_clips(clips(height, width))
    assert made.shape == (2, 3, 4, 224, 224)
    assert float(made.min()) >= -1 and float(made.max()) <= 1


def test_the_centre_of_the_longer_side_is_kept() -> None:
    """40 columns of which the middle 20 are white: a square crop of 20 shows nothing else."""
    video = torch.zeros(1, 3, 2, 20, 40)
    video[..., 10:30] = 1
    assert torch.equal(reduced(video, 20), torch.ones(1, 3, 2, 20, 20))
    assert torch.equal(reduced(video.mT, 20), torch.ones(1, 3, 2, 20, 20))


def test_frames_do_not_mix() -> None:
    video = clips(30, 40)
    whole, first = reduced(video, 16), reduced(video[:, :, :1], 16)
    assert torch.equal(whole[:, :, :1], first)


def test_the_longer_side_is_rounded_up_as_floats_have_it() -> None:
    """25 x (224 / 25) is a little more than 224, hence 225 rows, of which the crop drops the last."""
    rows = torch.arange(25.0).view(1, 1, 1, 25, 1).expand(1, 1, 1, 25, 25)
    expected = torch.nn.functional.interpolate(rows[0], (225, 224), mode="bilinear", align_corners=False)
    assert torch.equal(reduced(rows, 224)[0], expected[..., :224, :])


def test_videogpt_truncates_to_levels() -> None:
    level = torch.full((1, 3, 2, 224, 224), 100.9 / 255)
    assert float(videogpt_clips(level).unique()) == pytest.approx(2 * 100 / 255 - 1, abs=1e-6)
    assert float(styleganv_clips(level).unique()) == pytest.approx(2 * 100.9 / 255 - 1, abs=1e-6)


def test_both_distances_agree_on_full_covariances() -> None:
    generator = torch.Generator().manual_seed(1)
    made = torch.randn(300, 12, generator=generator)
    real = 1.3 * torch.randn(400, 12, generator=generator) + 0.2
    exact = frechet_distance(Moments.of(made).gaussian, Moments.of(real).gaussian)
    assert videogpt_distance(made, real) == pytest.approx(exact, rel=1e-4)
