"""Modules whose work has twins: a torch reference and a Triton kernel. Which one runs is said after loading.

Fresh networks run the torch twins, which have gradients and need nothing; `Studio` says what was chosen.
"""

from genstudio_kernels.select import Kernels
from torch import nn


class Twin(nn.Module):
    """A module that hands `kernels` to a kernel of `genstudio_kernels`."""

    kernels: Kernels = "torch"


def use_kernels(network: nn.Module, kernels: Kernels) -> None:
    """Run this twin in every module of a network that has one."""
    for module in network.modules():
        if isinstance(module, Twin):
            module.kernels = kernels
