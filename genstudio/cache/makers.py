"""Caches of a network's own numbers, on its device and in its number type, as walks ask for them."""

from typing import Any

from torch import nn

from genstudio.cache.full import FullCache
from genstudio.cache.ragged import RaggedCache
from genstudio.samplers.walk import CacheMaker


def full_caches(network: nn.Module) -> CacheMaker:
    """`(rows, capacity, look)` to a cache whose rows are equally long."""
    weight, config = next(network.parameters()), _config(network)
    dtype = str(weight.dtype).removeprefix("torch.")
    return lambda rows, capacity, look: FullCache(
        config.cache_spec(rows, capacity, dtype, look), weight.device
    )


def ragged_caches(network: nn.Module) -> CacheMaker:
    """`(rows, capacity, look)` to a cache whose rows may differ in length; looks are part of the
    capacity. On a GPU, where attention skips what lies past a row's length, shapes are fixed and no length is
    waited for."""
    weight, config = next(network.parameters()), _config(network)
    dtype = str(weight.dtype).removeprefix("torch.")
    return lambda rows, capacity, look: RaggedCache(
        config.cache_spec(rows, capacity + look, dtype), weight.device, fixed=weight.is_cuda
    )


def _config(network: nn.Module) -> Any:
    return network.config
