"""Linear layers whose float32 products on a CPU are oneDNN's when no gradient is asked for.

Torch gives them to MKL, which packs a weight anew at every call and needs up to four times as long where few
rows meet a large weight: the early scales of VAR, the single slots of a sequence. In bfloat16 torch uses
oneDNN itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear`, multiplied by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias, as `torch.nn.functional.linear` up to rounding."""
    if _is_for_onednn(x):
        return F.linear(x.to_mkldnn(), weight, bias).to_dense()
    return F.linear(x, weight, bias)


def _is_for_onednn(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_grad_enabled():
        return False
    return torch.backends.mkldnn.is_available() and not (
        torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
    )
