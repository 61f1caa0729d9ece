"""The modulated norm: both twins against the formula in float64. Shapes: R rows, n slots, C width."""

import pytest
import torch
import torch.nn.functional as F
from genstudio_kernels.modulate import modulate
from torch import Tensor

EPS = 1e-6
SHAPES = [(1, 1, 1), (2, 3, 64), (3, 5, 37), (4, 9, 130), (2, 1, 1024)]
# Largest absolute errors; results go up to about 10, bfloat16 has 8 bits, and the torch twin rounds often.
ALLOWED = {torch.float32: 5e-6, torch.bfloat16: 0.1, torch.float64: 1e-13}


def arguments(
    shape: tuple[int, int, int], dtype: torch.dtype, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """x and, as in a network, scale and shift as slices of the rows that hold all of a block's."""
    generator = torch.Generator().manual_seed(sum(shape))
    rows, slots, width = shape
    x_RnC = 3 * torch.randn(rows, slots, width, generator=generator, dtype=torch.float64) + 1
    rows_R6C = torch.randn(rows, 6, width, generator=generator, dtype=torch.float64).to(device, dtype)
    return x_RnC.to(device, dtype), rows_R6C[:, 1], rows_R6C[:, 4]


def expected(x_RnC: Tensor, scale_RC: Tensor, shift_RC: Tensor) -> Tensor:
    normed_RnC = F.layer_norm(x_RnC.double(), x_RnC.shape[-1:], eps=EPS)
    return normed_RnC * (1 + scale_RC[:, None].double()) + shift_RC[:, None].double()


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_torch_twin_is_the_formula(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    given = arguments(shape, dtype)
    made = modulate(*given, EPS, "torch")
    assert made.dtype == dtype and made.shape == shape
    torch.testing.assert_close(made.double(), expected(*given), atol=ALLOWED[dtype], rtol=0)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_triton_twin_is_the_formula(
    twin_device: str, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    given = arguments(shape, dtype, twin_device)
    made = modulate(*given, EPS, "triton")
    assert made.dtype == dtype and made.shape == shape and made.is_contiguous()
    torch.testing.assert_close(made.double(), expected(*given), atol=ALLOWED[dtype], rtol=0)


def test_a_strided_input_is_read_as_it_stands(twin_device: str) -> None:
    x_RnC, scale_RC, shift_RC = arguments((3, 5, 64), torch.float32, twin_device)
    turned = x_RnC.transpose(0, 1).contiguous().transpose(0, 1)
    assert modulate(turned, scale_RC, shift_RC, EPS, "triton").equal(
        modulate(x_RnC, scale_RC, shift_RC, EPS, "triton")
    )


def test_gradients_reach_all_inputs_of_the_torch_twin() -> None:
    given = [one.requires_grad_() for one in arguments((2, 3, 5), torch.float64)]
    assert torch.autograd.gradcheck(lambda *inputs: modulate(*inputs, EPS, "torch"), given)


def test_the_custom_op_is_registered_properly(twin_device: str) -> None:
    given = arguments((2, 3, 64), torch.float32, twin_device)
    modulate(*given, EPS, "triton")
    torch.library.opcheck(torch.ops.genstudio.modulate.default, (*given, EPS))
