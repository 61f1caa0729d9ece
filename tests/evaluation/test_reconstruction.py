"""PSNR and SSIM against closed cases and an independent computation by scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.errors import GenstudioError
from genstudio.evaluation import reconstruction
from genstudio.evaluation.reconstruction import psnr, round_trip, ssim
from genstudio.media.pixels import to_float
from genstudio.releases.release import PixelRule
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ


def pictures(seed: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, channels, 24, 20), dtype=torch.uint8, generator=generator)


def flat(level: int) -> torch.Tensor:
    return torch.full((1, 1, 16, 16), level, dtype=torch.uint8)


def test_psnr_of_known_errors() -> None:
    assert psnr(flat(10), flat(10)).tolist() == [math.inf]
    assert psnr(flat(0), flat(255)).tolist() == [0.0]
    assert psnr(flat(100), flat(101)).item() == pytest.approx(20 * math.log10(255))
    half = flat(100)
    half[..., :8] += 2  # mean squared error 2
    assert psnr(half, flat(100)).item() == pytest.approx(10 * math.log10(255**2 / 2))


def test_psnr_is_per_picture() -> None:
    a = torch.cat([flat(0), flat(0)])
    assert psnr(a, torch.cat([flat(255), flat(1)])).tolist() == pytest.approx([0, 20 * math.log10(255)])


def test_ssim_of_equal_and_of_flat_pictures() -> None:
    assert ssim(pictures(0), pictures(0)).tolist() == pytest.approx([1, 1])
    c1 = (0.01 * 255) ** 2  # without structure only the luminance term is left
    expected = (2 * 100 * 50 + c1) / (100**2 + 50**2 + c1)
    assert ssim(flat(100), flat(50)).item() == pytest.approx(expected)


def test_ssim_of_a_negative_is_negative() -> None:
    x = pictures(1)
    assert (ssim(x, 255 - x) < 0).all()


def test_ssim_equals_scipys_gaussian_filter() -> None:
    x, y = pictures(2), pictures(3)
    y = (x.double() * 0.7 + y.double() * 0.3).to(torch.uint8)

    def blur(channel: np.ndarray) -> np.ndarray:
        return gaussian_filter(channel, sigma=1.5, radius=5)[5:-5, 5:-5]

    def one(a: np.ndarray, b: np.ndarray) -> float:
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        ma, mb = blur(a), blur(b)
        va, vb, vab = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        top = (2 * ma * mb + c1) * (2 * vab + c2)
        return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())

    expected = [
        np.mean([one(a, b) for a, b in zip(left, right, strict=True)])
        for left, right in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    assert ssim(x, y).tolist() == pytest.approx(expected, rel=1e-10)


def test_small_pictures_and_other_types_are_refused() -> None:
    small = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(GenstudioError, match="11x11"):
        ssim(small, small)
    with pytest.raises(TypeError, match="uint8"):
        psnr(flat(0).float(), flat(0).float())


def test_a_round_trip_in_batches_equals_the_tokenizers_own_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = MultiScaleVQConfig(
        channels=1,
        width=32,
        width_mult=(1, 1),
        res_blocks=1,
        code_width=4,
        vocab=16,
        sizes=(1, 4),
        phis=1,
        phi_ratio=0.5,
        quant_kernel=1,
        beta=0.25,
    )
    tokenizer = MultiScaleVQ(config).eval()
    pixels = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    monkeypatch.setattr(reconstruction, "BATCH", 2)
    again = round_trip(tokenizer, pixels, PixelRule())
    with torch.no_grad():
        expected = tokenizer(to_float(pixels, PixelRule())).x_BCHW.clamp(-1, 1)
    assert again.dtype == torch.uint8 and again.shape == pixels.shape
    assert (to_float(again, PixelRule()) - expected).abs().max() < 0.01  # a level is 0.008 wide
