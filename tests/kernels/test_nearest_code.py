"""Nearest codes: both twins find what the full matrix of distances finds, and hold none of it.

Shapes: N vectors, V codes, C width.
"""

import pytest
import torch
from genstudio_kernels.nearest_code import nearest_code
from torch import Tensor

from genstudio.measure.memory import LiveBytes

SHAPES = [(1, 1, 1), (5, 7, 3), (64, 64, 32), (65, 130, 64), (200, 1025, 8), (33, 70, 100)]
DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def vectors(count: int, width: int, dtype: torch.dtype, seed: int, device: str = "cpu") -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64).to(device, dtype)


def assert_nearest(index_N: Tensor, z_NC: Tensor, table_VC: Tensor) -> None:
    """No code is closer by more than rounding; nearly equal ones may fall either way."""
    distance_NV = torch.cdist(z_NC.double(), table_VC.double()).square()
    chosen_N = distance_NV.gather(1, index_N[:, None])[:, 0]
    slack = 1e-12 if z_NC.dtype == torch.float64 else 1e-4
    assert index_N.dtype == torch.int64
    assert bool((chosen_N <= distance_NV.min(dim=1).values + slack).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "v", "c"), [*SHAPES, (5000, 1030, 4)])
def test_the_torch_twin_finds_the_nearest_code(n: int, v: int, c: int, dtype: torch.dtype) -> None:
    z_NC, table_VC = vectors(n, c, dtype, 1), vectors(v, c, dtype, 2)
    assert_nearest(nearest_code(z_NC, table_VC, "torch"), z_NC, table_VC)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "v", "c"), SHAPES)
def test_the_triton_twin_finds_the_nearest_code(
    twin_device: str, n: int, v: int, c: int, dtype: torch.dtype
) -> None:
    z_NC, table_VC = vectors(n, c, dtype, 1, twin_device), vectors(v, c, dtype, 2, twin_device)
    assert_nearest(nearest_code(z_NC, table_VC, "triton"), z_NC, table_VC)


def test_the_twins_agree_where_no_code_is_nearly_as_close(twin_device: str) -> None:
    table_VC = vectors(300, 32, torch.float32, 3, twin_device)
    picked_N = torch.arange(0, 300, 7, device=twin_device)
    z_NC = table_VC[picked_N] + 0.01 * vectors(len(picked_N), 32, torch.float32, 4, twin_device)
    for kernels in ("torch", "triton"):
        assert nearest_code(z_NC, table_VC, kernels).equal(picked_N)


def assert_lowest_index_wins(kernels: str, device: str) -> None:
    """Every code stands three times, in blocks of the search far apart."""
    table_VC = vectors(1500, 8, torch.float32, 5, device)
    found_N = nearest_code(table_VC[::50].contiguous(), table_VC.repeat(3, 1), kernels)  # type: ignore[arg-type]
    assert found_N.equal(torch.arange(0, 1500, 50, device=device))


def test_the_lowest_of_equal_codes_wins() -> None:
    assert_lowest_index_wins("torch", "cpu")


def test_the_lowest_of_equal_codes_wins_in_triton(twin_device: str) -> None:
    assert_lowest_index_wins("triton", twin_device)


def test_not_a_number_is_code_0(twin_device: str) -> None:
    z_NC = vectors(4, 8, torch.float32, 6, twin_device)
    z_NC[2, 3] = torch.nan
    for kernels in ("torch", "triton"):
        assert nearest_code(z_NC, vectors(9, 8, torch.float32, 7, twin_device), kernels)[2] == 0


def test_no_vectors_have_no_codes(twin_device: str) -> None:
    for kernels in ("torch", "triton"):
        found_N = nearest_code(
            torch.empty(0, 8, device=twin_device), torch.randn(5, 8, device=twin_device), kernels
        )
        assert found_N.shape == (0,) and found_N.dtype == torch.int64


def test_the_matrix_of_distances_is_never_held() -> None:
    z_NC, table_VC = torch.randn(20_000, 4), torch.randn(3_000, 4)
    with LiveBytes() as live:
        nearest_code(z_NC, table_VC, "torch")
    assert live.peak < 20_000 * 3_000 * 4 / 8


def test_the_custom_op_is_registered_properly(twin_device: str) -> None:
    z_NC = torch.randn(20, 8, device=twin_device)
    nearest_code(z_NC, z_NC, "triton")
    torch.library.opcheck(
        torch.ops.genstudio.nearest_code.default, (z_NC, torch.randn(30, 8, device=twin_device))
    )
