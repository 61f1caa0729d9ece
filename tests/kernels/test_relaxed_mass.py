"""LANTERN's relaxed probability: both twins against the rule, said code by code.

Shapes: R laws, V codes, N ids to be judged, k nearest codes of each.
"""

import pytest
import torch
from genstudio_kernels.relaxed_mass import relaxed_mass
from genstudio_kernels.select import Kernels
from torch import Tensor

DELTAS = [0.0, 0.02, 0.3, 0.97, 1.5, 4.0]  # not 1: whether all of a law sums to 1 is a matter of rounding
SHAPES = [(1, 1, 0), (3, 9, 1), (2, 40, 12), (2, 600, 599)]  # R, V, k: one block and several
DTYPES = [torch.float32, torch.float64]


def arguments(
    shape: tuple[int, int, int], dtype: torch.dtype, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Laws of which half the categories are filtered away, as in a run; ids in random rows of them."""
    rows, codes, nearest = shape
    generator = torch.Generator().manual_seed(codes)
    logits_RV = 3 * torch.randn(rows, codes, generator=generator, dtype=torch.float64)
    gone_RV = torch.rand(rows, codes, generator=generator) < 0.5 * (codes > 1)
    p_RV = logits_RV.masked_fill(gone_RV, -torch.inf).softmax(-1).to(device, dtype)
    row_N = torch.randint(rows, (8,), generator=generator).to(device)
    id_N = torch.randint(codes, (8,), generator=generator).to(device)
    order_VV = torch.rand(codes, codes, generator=generator).fill_diagonal_(2).argsort(-1)
    return p_RV, row_N, id_N, order_VV[:, :nearest].int().to(device)


def expected(
    p_RV: Tensor, row_N: Tensor, id_N: Tensor, nearest_Vk: Tensor, delta: float
) -> tuple[list[float], list[int]]:
    masses, counts = [], []
    for row, x in zip(row_N.tolist(), id_N.tolist(), strict=True):
        own = float(p_RV[row, x])
        bound = (delta - 1) * own if delta > 1 else delta
        mass, count = 0.0, 0
        for near in nearest_Vk[x].tolist():
            if mass + float(p_RV[row, near]) > bound:
                break
            mass, count = mass + float(p_RV[row, near]), count + 1
        masses.append(own + mass)
        counts.append(count)
    return masses, counts


def assert_follows_the_rule(
    kernels: Kernels, shape: tuple[int, int, int], dtype: torch.dtype, device: str
) -> None:
    given = arguments(shape, dtype, device)
    for delta in DELTAS:
        mass_N, count_N = relaxed_mass(*given, delta, kernels)
        masses, counts = expected(*given, delta)
        assert mass_N.dtype == dtype and count_N.dtype == torch.int64
        assert count_N.tolist() == counts
        torch.testing.assert_close(mass_N.cpu(), torch.tensor(masses, dtype=dtype), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_torch_twin_follows_the_rule(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    assert_follows_the_rule("torch", shape, dtype, "cpu")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_triton_twin_follows_the_rule(
    twin_device: str, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    assert_follows_the_rule("triton", shape, dtype, twin_device)


def test_the_beginning_of_a_longer_table_is_read_as_it_stands(twin_device: str) -> None:
    p_RV, row_N, id_N, nearest_Vk = arguments((3, 50, 20), torch.float32, twin_device)
    for kernels in ("torch", "triton"):
        part = relaxed_mass(p_RV, row_N, id_N, nearest_Vk[:, :7], 0.4, kernels)
        alone = relaxed_mass(p_RV, row_N, id_N, nearest_Vk[:, :7].contiguous(), 0.4, kernels)
        assert all(one.equal(other) for one, other in zip(part, alone, strict=True))


def test_a_delta_up_to_1_is_added_and_a_larger_one_multiplies() -> None:
    """p = (0.1, 0.15, 0.2, 0.55): delta 1 includes what sums to 1 at most, delta 2.6 what sums to 0.16."""
    p_RV, nearest_Vk = torch.tensor([[0.1, 0.15, 0.2, 0.55]]), torch.tensor([[1, 2, 3]] * 4)
    zero = torch.zeros(1, dtype=torch.int64)
    mass_N, count_N = relaxed_mass(p_RV, zero, zero, nearest_Vk, 1.0, "torch")
    assert count_N.item() == 3 and mass_N.item() == pytest.approx(1.0)
    mass_N, count_N = relaxed_mass(p_RV, zero, zero, nearest_Vk, 2.6, "torch")
    assert count_N.item() == 1 and mass_N.item() == pytest.approx(0.25)


def test_nothing_to_judge(twin_device: str) -> None:
    p_RV, row_N, id_N, nearest_Vk = arguments((2, 9, 3), torch.float32, twin_device)
    for kernels in ("torch", "triton"):
        mass_N, count_N = relaxed_mass(p_RV, row_N[:0], id_N[:0], nearest_Vk, 0.1, kernels)
        assert mass_N.shape == count_N.shape == (0,)


def test_the_custom_op_is_registered_properly(twin_device: str) -> None:
    given = arguments((2, 40, 12), torch.float32, twin_device)
    relaxed_mass(*given, 0.3, "triton")
    torch.library.opcheck(torch.ops.genstudio.relaxed_mass.default, (*given, 0.3))
