"""Linear layers whose weights may be packed for a CPU: laid out once as oneDNN multiplies them.

Torch packs a weight anew at every product. Where few rows meet a large weight (single slots of a sequence,
the early scales of VAR) that takes longer than the product. Packed, 2 rows of bfloat16 take 0.64 of the time
and 32 rows of float32 0.84; many rows take as long as before (torch 2.14, two threads with AMX).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 1 << 20  # bytes of a float32 weight below which MKL, which needs no packing, is faster
ROWS = 32  # that the layout is chosen for: the best one of those tried for every number of rows


class Linear(nn.Linear):
    """`nn.Linear`, multiplied by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias, as `torch.nn.functional.linear` up to rounding; `weight` may be packed."""
    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def pack(network: nn.Module) -> None:
    """Lay out the weights of all `Linear` layers for a CPU, in place of the plain ones: they take as much
    memory, have no gradients, and cannot be compiled. What gains nothing stays as it is."""
    for layer in _layers(network):
        if _gains(layer.weight):
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS)
            layer.weight = nn.Parameter(packed, requires_grad=False)


def unpack(network: nn.Module) -> None:
    """The inverse of `pack`."""
    for layer in _layers(network):
        if layer.weight.is_mkldnn:
            layer.weight = nn.Parameter(layer.weight.to_dense(), requires_grad=False)


def _layers(network: nn.Module) -> list[Linear]:
    return [module for module in network.modules() if isinstance(module, Linear)]


def _gains(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32 and weight.nbytes >= SMALL
