"""The linear layer: torch's own numbers, with and without oneDNN, and gradients where they are asked for."""

import pytest
import torch
import torch.nn.functional as F

from genstudio.nn.linear import Linear, linear


@pytest.mark.parametrize("shape", [(1, 1, 16), (2, 5, 16), (7, 16), (0, 3, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@torch.no_grad()
def test_it_is_torchs_linear(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape).to(dtype), torch.randn(24, 16).to(dtype), torch.randn(24).to(dtype)
    for given in (bias, None):
        torch.testing.assert_close(linear(x, weight, given), F.linear(x, weight, given))


@torch.no_grad()
def test_slices_are_read_as_they_stand() -> None:
    wide, weight = torch.randn(4, 6, 40), torch.randn(24, 16)
    x = wide[:, ::2, 8:24]
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


def test_gradients_reach_input_and_parameters() -> None:
    layer, x = Linear(16, 24), torch.randn(3, 16, requires_grad=True)
    layer(x).square().sum().backward()
    assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None


@torch.no_grad()
def test_autocast_decides_the_number_type() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Linear(16, 24)(torch.randn(3, 16)).dtype == torch.bfloat16
