"""EAGLE's draft network: code by code through a cache equals one pass; its official names, both ways."""

from dataclasses import replace

import pytest
import torch

from genstudio.cache.full import FullCache
from genstudio.configs.drafter import DrafterConfig
from genstudio.generators.drafter import Drafter
from genstudio.generators.llamagen import LlamaGen
from genstudio.releases.rename import Table, from_official, to_official
from genstudio.releases.table_lantern import converted_llamagen_table, drafter_table
from genstudio.samplers.values import Causal, Feed
from tests.releases import tiny

CONFIG = DrafterConfig(width=32, heads=4, hidden=48, vocab=32, side=4, condition_slots=3)
PLAIN = replace(CONFIG, bias=False)


def network(config: DrafterConfig = CONFIG) -> Drafter:
    built = Drafter(config).double()
    generator = torch.Generator().manual_seed(0)
    for value in built.parameters():
        value.data.normal_(std=0.3, generator=generator)
    return built


@torch.no_grad()
def test_code_by_code_equals_one_pass() -> None:
    drafter, generator = network(), torch.Generator().manual_seed(1)
    ids_Rn = torch.randint(CONFIG.vocab, (2, 9), generator=generator)
    features_RnC = torch.randn(2, 9, CONFIG.width, generator=generator).double()
    at_1n = torch.arange(9)[None]
    whole = drafter(ids_Rn, features_RnC, Feed(at_1n, Causal()))
    cache = FullCache(CONFIG.cache_spec(2, 9, "float64"), "cpu")
    for slot in range(9):
        part = slice(slot, slot + 1)
        h = drafter(ids_Rn[:, part], features_RnC[:, part], Feed(at_1n[:, part]), cache)
        cache.commit(1)
        torch.testing.assert_close(h, whole[:, part], atol=1e-12, rtol=0)


def test_the_first_block_has_no_norm_in_front() -> None:
    names = set(network(replace(CONFIG, depth=2)).state_dict())
    assert "blocks.1.norm1.weight" in names and "blocks.0.norm1.weight" not in names
    assert not any(name.startswith("norm") for name in names)


@pytest.mark.parametrize(
    ("built", "table", "official"),
    [
        (network(), drafter_table(CONFIG), "layers.0.self_attn.k_proj.weight"),
        (network(PLAIN), drafter_table(PLAIN), "fc.weight"),
        (tiny.network(tiny.CAPTIONED), converted_llamagen_table(), "model.layers.1.self_attn.v_proj.weight"),
    ],
    ids=["drafter", "drafter-without-bias", "llamagen"],
)
def test_official_names_come_back(built: Drafter | LlamaGen, table: Table, official: str) -> None:
    ours = built.state_dict()
    written = to_official(ours, table)
    assert official in written
    read = from_official(written, table, {name: tensor.shape for name, tensor in ours.items()}).tensors
    assert read.keys() == ours.keys()
    assert all(read[name].equal(tensor) for name, tensor in ours.items())
