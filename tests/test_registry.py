"""Every kind of config that a release may hold has a network, and every network starts empty on meta."""

from typing import get_args

import pytest
import torch

from genstudio import registry
from genstudio.releases.release import Config
from tests.releases import tiny

KINDS = {config.__dataclass_fields__["kind"].default for config in get_args(get_args(Config)[0])}


def test_each_kind_of_config_has_one_network() -> None:
    assert set(registry.NETWORKS) == KINDS


@pytest.mark.parametrize(
    "config",
    [tiny.GENERATOR, tiny.VQ, tiny.GRID_VQ, tiny.SEQUENCE, tiny.NEIGHBOUR],
    ids=lambda config: config.kind,
)
def test_shapes_are_those_of_a_real_network(config) -> None:
    real = registry.build(config, "cpu").state_dict()
    assert registry.shapes(config) == {name: value.shape for name, value in real.items()}
    assert all(value.device == torch.device("meta") for value in registry.build(config).parameters())
