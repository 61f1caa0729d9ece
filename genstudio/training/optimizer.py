"""AdamW over groups, the schedule of its rate, and the average of weights that a run releases."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from genstudio.training.objectives.base import Rewrite
from genstudio.training.recipe import Optimizer
from genstudio.training.shard import put

Tensors = tuple[Tensor, ...] | list[Tensor]
FLAT = 0.05  # share of the steps after the warm-up that VAR's schedule stays at its peak


def build_optimizer(
    modules: Iterable[nn.Module], settings: Optimizer, undecayed: tuple[str, ...]
) -> torch.optim.AdamW:
    """AdamW over all modules; biases, 1-d weights and names holding an `undecayed` part are not decayed."""
    decayed: list[Tensor] = []
    spared: list[Tensor] = []
    for name, value in (pair for module in modules for pair in module.named_parameters()):
        plain = value.ndim <= 1 or name.endswith("bias") or any(part in name for part in undecayed)
        (spared if plain else decayed).append(value)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def learning_rate(settings: Optimizer, step: int, total: int) -> float:
    """The rate of step `step` (counted from 0) of `total`."""
    warm = round(settings.warmup * total)
    if step < warm:
        return settings.lr * (step + 1) / (warm + 1)
    share = (step - warm) / max(1, total - warm)
    if settings.schedule == "constant":
        return settings.lr
    if settings.schedule == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * share))
    else:
        left = 1 - max(0.0, share - FLAT) / (1 - FLAT)
    return settings.lr * (settings.final + (1 - settings.final) * left)


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average; its decay rises as (1 + n) / (10 + n), so that early weights fade."""

    def blend(mean: Tensors, new: Tensors, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(mean, new, 1 - now)

    return AveragedModel(network, multi_avg_fn=blend)


@torch.no_grad()
def rewrite(
    change: Rewrite, network: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer
) -> None:
    """Replace rows of a weight in the network and in its average, and forget the optimizer's moments."""
    weight = network.get_parameter(change.name)
    for tensor in (weight, average.get_parameter(change.name)) if average is not None else (weight,):
        put(tensor, change.row_N, change.value_ND)
    moments: Mapping[str, Tensor] = optimizer.state.get(weight, {})
    for name in ("exp_avg", "exp_avg_sq"):
        if name in moments:
            put(moments[name], change.row_N, 0.0)
