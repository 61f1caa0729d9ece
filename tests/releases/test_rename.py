"""The table engine, and the tables of VAR against the official files of the fixtures."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio import registry
from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.parity.fixture import Fixture
from genstudio.parity.llamagen import network_config
from genstudio.parity.llamagen_vq import tokenizer_config as vq_config
from genstudio.parity.var import tokenizer_config, transformer_config
from genstudio.releases.release import Config
from genstudio.releases.rename import Rename, Table, UnfitError, from_official, to_official
from genstudio.releases.tables import table_for
from tests.releases import tiny
from tests.support import parity_folder

SHARED = replace(tiny.GENERATOR, shared_adaln=True)
PLAIN = replace(tiny.GENERATOR, l2_attention=False)
ONE_PHI = replace(tiny.VQ, phis=1)


@pytest.mark.parametrize(
    "config",
    [tiny.GENERATOR, SHARED, PLAIN, tiny.VQ, ONE_PHI, tiny.GRID_VQ, tiny.SEQUENCE, tiny.CAPTIONED],
    ids=["block", "shared", "plain", "vq", "one-phi", "grid-vq", "llamagen", "llamagen-text"],
)
def test_our_tensors_survive_the_official_names_bitwise(config: Config) -> None:
    ours = tiny.network(config).state_dict()
    official = to_official(ours, table_for(config))
    back = from_official(official, table_for(config), registry.shapes(config))
    assert back.tensors.keys() == ours.keys()
    assert all(torch.equal(back.tensors[name], ours[name]) for name in ours)


FIXTURES = [
    ("var-vqvae", "", "vqvae"),
    ("var-transformer", "vae.", "vqvae"),
    ("var-transformer", "var.", "var"),
    ("var-transformer-shared", "vae.", "vqvae"),
    ("var-transformer-shared", "var.", "var"),
]


@pytest.mark.parametrize(("folder", "prefix", "part"), FIXTURES)
def test_official_files_survive_our_names_bitwise(folder: str, prefix: str, part: str) -> None:
    path = parity_folder(folder)
    meta = json.loads((path / "meta.json").read_text())["config"]
    numbers = meta.get(part, meta)
    everything = load_file(path / "weights.safetensors")
    official = {
        name.removeprefix(prefix): value for name, value in everything.items() if name.startswith(prefix)
    }
    config = transformer_config(meta) if part == "var" else tokenizer_config(numbers)
    converted = from_official(official, table_for(config), registry.shapes(config))
    back = to_official(converted.tensors, table_for(config))
    assert back.keys() == official.keys()
    for name, value in official.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value) or name in converted.dropped
    if part == "var":
        assert len(converted.checked) == 2 + config.depth
    else:
        assert converted.dropped == ("quantize.ema_vocab_hit_SV",)


def test_a_vq_file_survives_our_names_bitwise_and_gets_its_buffer_back() -> None:
    fixture = Fixture(parity_folder("llamagen-vq"))
    config, official = vq_config(fixture.meta["config"], pixels=64), fixture.weights()
    converted = from_official(official, table_for(config), registry.shapes(config))
    assert converted.dropped == ("quantize.codebook_used",)
    back = to_official(converted.tensors, table_for(config))
    assert back.keys() == official.keys()
    for name, value in official.items():
        assert (back[name].dtype, back[name].shape) == (value.dtype, value.shape)
        assert torch.equal(back[name], value) or name in converted.dropped


@pytest.mark.parametrize("folder", ["llamagen-gpt-c2i", "llamagen-gpt-t2i"])
def test_a_llamagen_file_survives_our_names_bitwise_without_the_keys_of_a_run(folder: str) -> None:
    fixture = Fixture(parity_folder(folder))
    config = network_config(LlamaGenConfig, fixture.meta["config"]["ModelArgs"])
    official = fixture.weights()
    left = {f"layers.0.attention.kv_cache.{name}_cache": torch.zeros(2, 4, 24, 8) for name in "kv"}
    converted = from_official(official | left, table_for(config), registry.shapes(config))
    assert converted.dropped == tuple(left)
    back = to_official(converted.tensors, table_for(config))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[name], value) for name, value in official.items())


def _misfit(change: Callable[[dict[str, Tensor]], object], config: Config = tiny.GENERATOR):
    official = to_official(tiny.network(config).state_dict(), table_for(config))
    change(official)
    with pytest.raises(UnfitError) as caught:
        from_official(official, table_for(config), registry.shapes(config))
    return caught.value.misfit


def test_each_kind_of_misfit_is_named_in_official_words() -> None:
    missing = _misfit(lambda official: official.pop("blocks.1.ffn.fc1.bias"))
    assert (missing.missing, missing.unknown) == (("blocks.1.ffn.fc1.bias",), ())
    unknown = _misfit(lambda official: official.update({"ema.decay": torch.zeros(())}))
    assert unknown.unknown == ("ema.decay",)
    deeper = _misfit(lambda official: official.update({"blocks.2.attn.q_bias": torch.zeros(64)}))
    assert deeper.unknown == ("blocks.2.attn.q_bias",)
    shape = _misfit(lambda official: official.update({"pos_1LC": torch.zeros(1, 30, 64)}))
    assert shape.misshaped == ("pos_1LC is 1x30x64, not 1x21x64",)


def test_another_list_of_scales_shows_in_the_buffers_although_every_shape_fits() -> None:
    """Sizes (1, 4, 2) have as many slots and scales as (1, 2, 4)."""
    other = replace(tiny.GENERATOR, sizes=(1, 4, 2))
    official = to_official(tiny.network(other).state_dict(), table_for(other))
    with pytest.raises(UnfitError) as caught:
        from_official(official, table_for(tiny.GENERATOR), registry.shapes(tiny.GENERATOR))
    assert caught.value.misfit.different == ("lvl_1L", "attn_bias_for_masking")


def test_a_bias_of_the_key_that_is_not_zero_is_no_var() -> None:
    misfit = _misfit(lambda official: official["blocks.0.attn.zero_k_bias"].fill_(1))
    assert misfit.different == ("blocks.0.attn.zero_k_bias",)


def test_a_mirror_in_half_precision_without_buffers_loads_alike() -> None:
    official = to_official(tiny.network(tiny.GENERATOR).state_dict(), table_for(tiny.GENERATOR))
    mirror = {
        name: value.half() for name, value in official.items() if "mask" not in name and name != "lvl_1L"
    }
    converted = from_official(mirror, table_for(tiny.GENERATOR), registry.shapes(tiny.GENERATOR))
    assert converted.checked == ("blocks.0.attn.zero_k_bias", "blocks.1.attn.zero_k_bias")


def test_phis_spelt_one_per_scale_are_read_and_never_twice() -> None:
    official = to_official(tiny.network(tiny.VQ).state_dict(), table_for(tiny.VQ))
    respelt = {name.replace("quant_resi.qresi_ls.", "quant_resi."): value for name, value in official.items()}
    shapes = registry.shapes(tiny.VQ)
    assert from_official(respelt, table_for(tiny.VQ), shapes).tensors.keys() == shapes.keys()
    with pytest.raises(UnfitError, match=r"8 unknown \(quantize\.quant_resi\.\d"):
        from_official(official | respelt, table_for(tiny.VQ), shapes)


def test_official_tensors_that_are_one_of_ours_follow_each_other_in_it() -> None:
    table = Table((Rename("{n}.qkv.*", "layers.{n}.{part}.*", parts=("q", "k", "v")),))
    ours = {"3.qkv.weight": torch.arange(12.0).view(6, 2), "3.qkv.bias": torch.arange(6.0)}
    official = to_official(ours, table)
    assert official["layers.3.k.weight"].tolist() == [[4.0, 5.0], [6.0, 7.0]]
    assert official["layers.3.v.bias"].tolist() == [4.0, 5.0]
    shapes = {name: value.shape for name, value in ours.items()}
    back = from_official(dict(reversed(official.items())), table, shapes).tensors
    assert all(torch.equal(back[name], value) for name, value in ours.items())
    official["layers.3.q.bias"] = torch.zeros(3)
    with pytest.raises(UnfitError) as caught:
        from_official({name: value for name, value in official.items() if "v.w" not in name}, table, shapes)
    assert caught.value.misfit.missing == ("layers.3.v.weight",)
    assert caught.value.misfit.misshaped == ("layers.3.q.bias is 3, not 2",)


def test_a_tensor_of_ours_without_a_line_is_a_bug() -> None:
    with pytest.raises(KeyError, match="novelty"):
        to_official({"novelty": torch.zeros(1)}, table_for(tiny.GENERATOR))
