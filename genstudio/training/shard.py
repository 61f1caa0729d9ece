"""A network spread over processes by torch's FSDP2 (arXiv 2304.11277): each keeps its rows of every weight.

Weights are put together for the passes that need them, gradients come back as rows of their mean, and
optimizer and average work on rows. Rows are DTensors; the functions below take those and plain tensors alike,
so that the rest of training does not ask which it has, and a checkpoint holds whole tensors either way.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from genstudio.errors import GenstudioError
from genstudio.training.objectives.base import Losses

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor


class Root(nn.Module):
    """What FSDP2 takes for the network. Objectives enter networks by more doors than `forward`, so the whole
    computation of the losses is one pass of this module, and nothing of the batch is an argument of it."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.trained = nn.ModuleDict(modules)

    def forward(self, compute: Callable[[], Losses]) -> Losses:
        """Losses, computed while the weights of all modules are there."""
        with warnings.catch_warnings():
            # FSDP2 warns of every part that returns a view: changing one in place would go wrong. None is.
            warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
            return compute()


def shard(root: Root, average: nn.Module | None, mesh: "DeviceMesh") -> None:
    """Keep this process's rows of all weights, and of the network's average, in place.

    Every process has to hold the same weights before. Raises GenstudioError where torch has no FSDP2.
    """
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise GenstudioError(
            "This torch cannot shard networks.", "Install torch 2.6 or newer, or leave run.shard away."
        ) from error
    for module in root.trained.values():
        for part in _parts(module):
            fully_shard(part, mesh=mesh)
    fully_shard(root, mesh=mesh)
    if average is not None:
        fully_shard(average, mesh=mesh)


def is_rows(value: Any) -> "TypeGuard[DTensor]":
    """Whether a value is a process's rows of a tensor (by a method: the class takes long to import)."""
    return hasattr(value, "full_tensor")


def whole(state: Any, keep: bool = True) -> Any:
    """The same nest of values with whole tensors on the CPU for rows; where `keep` is false, None for them.

    Every process has to come here, one tensor after another is put together.
    """

    def gather(value: Any) -> Any:
        if not is_rows(value):
            return value
        full = value.full_tensor().detach()
        return full.cpu() if keep else None

    return tree_map(gather, state)


def rows(full: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is: itself, or this process's rows of it."""
    if not is_rows(like):
        return full
    mine = torch.empty_like(like)
    local, start = _own(mine)
    local.copy_(full[start : start + len(local)])
    return mine


def optimizer_rows(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's whole state as `optimizer` keeps it: what has the shape of a parameter follows it."""
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    moments = {
        index: {
            name: rows(value, parameters[index]) if value.shape == parameters[index].shape else value
            for name, value in entry.items()
        }
        for index, entry in state["state"].items()
    }
    return {**state, "state": moments}


def put(tensor: Tensor, row_N: Tensor, value_ND: Tensor | float) -> None:
    """Replace rows of a whole tensor, or those of them that are this process's."""
    local, start = _own(tensor)
    mine_N = (row_N >= start) & (row_N < start + len(local))
    values = value_ND[mine_N].to(local.dtype) if isinstance(value_ND, Tensor) else value_ND
    local[row_N[mine_N] - start] = values


def _own(tensor: Tensor) -> tuple[Tensor, int]:
    """What this process holds of a tensor, and which row of the whole comes first: FSDP2 cuts like chunk."""
    if not is_rows(tensor):
        return tensor, 0
    each = -(-tensor.shape[0] // tensor.device_mesh.size())
    return tensor.to_local(), min(each * tensor.device_mesh.get_local_rank(), tensor.shape[0])


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    """What is put together for its own call alone: the children of every block. (A block is too much: VAR's
    adaLN runs long before the block that it belongs to.)"""
    lists = (child for child in network.children() if isinstance(child, nn.ModuleList))
    children = (child for blocks in lists for block in blocks for child in block.children())
    return (child for child in children if any(True for _ in child.parameters()))
