"""The linear layer: torch's own numbers, packed or not, and gradients where they are asked for."""

import pytest
import torch
import torch.nn.functional as F

from genstudio.nn import linear as module
from genstudio.nn.linear import Linear, linear, pack, unpack


@pytest.mark.parametrize("shape", [(1, 1, 16), (2, 5, 16), (7, 16), (0, 3, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@torch.no_grad()
def test_it_is_torchs_linear(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape).to(dtype), torch.randn(24, 16).to(dtype), torch.randn(24).to(dtype)
    for given in (bias, None):
        torch.testing.assert_close(linear(x, weight, given), F.linear(x, weight, given))


@pytest.fixture
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Linear:
    """A layer of the number type that is asked for; the smallest weights are packed too."""
    monkeypatch.setattr(module, "SMALL", 0)
    torch.manual_seed(0)
    return Linear(40, 24).to(request.param)


PACKED = pytest.mark.parametrize("layer", [torch.float32, torch.bfloat16], indirect=True)


@PACKED
@torch.no_grad()
def test_packed_weights_give_the_same_numbers_for_any_count_of_rows(layer: Linear) -> None:
    shapes = [(1, 1, 40), (32, 2, 40), (7, 40), (0, 3, 40)]
    inputs = [torch.randn(shape).to(layer.bias.dtype) for shape in shapes]
    inputs.append(torch.randn(4, 6, 80).to(layer.bias.dtype)[:, ::2, 8:48])
    weight, bias = layer.weight.double(), layer.bias.double()
    pack(layer)
    assert layer.weight.is_mkldnn
    close = torch.finfo(layer.bias.dtype).eps * 4
    for x in inputs:
        torch.testing.assert_close(
            layer(x).double(), F.linear(x.double(), weight, bias), atol=close, rtol=close
        )


@PACKED
def test_unpacking_gives_the_very_weights_back(layer: Linear) -> None:
    before, size = layer.weight.detach().clone(), layer.weight.nbytes
    pack(layer)
    assert layer.weight.nbytes == size
    unpack(layer)
    assert layer.weight.equal(before)


@pytest.mark.parametrize("layer", [torch.float64, torch.float16], indirect=True)
def test_number_types_without_a_layout_stay_plain(layer: Linear) -> None:
    pack(layer)
    assert not layer.weight.is_mkldnn


def test_small_weights_of_float32_stay_plain() -> None:
    layer = Linear(40, 24)
    pack(layer)
    assert not layer.weight.is_mkldnn


def test_gradients_reach_input_and_parameters() -> None:
    layer, x = Linear(16, 24), torch.randn(3, 16, requires_grad=True)
    layer(x).square().sum().backward()
    assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None


@torch.no_grad()
def test_autocast_decides_the_number_type() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Linear(16, 24)(torch.randn(3, 16)).dtype == torch.bfloat16
