"""The replay of the LlamaGen tokenizer on folders with other numbers than those of the public fixture."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from genstudio.configs.vq import VQConfig
from genstudio.errors import GenstudioError
from genstudio.parity.llamagen_vq import tokenizer_config
from genstudio.parity.replays import check
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from genstudio.tokenizers.vq import VQ
from tests.releases import tiny

OUTPUTS = {
    "enc_first_resblock": "abs",
    "enc_out": "abs",
    "z_pre_quant": "abs",
    "indices": "exact",
    "quant": "abs",
    "recon": "abs",
    "decode_from_indices": "abs",
    "uint8_from_indices": "uint8-off-by-one",
}


def meta(config: VQConfig) -> dict[str, Any]:
    """The numbers under their official names."""
    return {
        "ModelArgs": {
            "codebook_size": config.vocab,
            "codebook_embed_dim": config.code_width,
            "codebook_l2_norm": config.normalised,
            "commit_loss_beta": config.beta,
            "encoder_ch_mult": list(config.width_mult),
            "decoder_ch_mult": list(config.width_mult),
            "z_channels": config.latent_width,
        },
        "Encoder/Decoder": {"ch": config.width, "num_res_blocks": config.res_blocks, "in_channels": 3},
        "group_norm": {"num_groups": config.groups},
    }


@torch.no_grad()
def fixture(folder: Path, config: VQConfig, height: int, width: int) -> Path:
    """A folder of the fixture's form, its outputs put together from the network's parts."""
    network = tiny.network(config)
    assert isinstance(network, VQ)
    for value in network.parameters():
        value.mul_(0.3)
    image = torch.rand(2, 3, height, width, generator=torch.manual_seed(1)) * 2 - 1
    rows, columns = height // config.stride, width // config.stride
    encoded = network.encoder(image)
    features = network.quant_conv(encoded)
    vectors, table = features.permute(0, 2, 3, 1), network.quantize.table_VC
    if config.normalised:
        vectors, table = (one / one.norm(dim=-1, keepdim=True) for one in (vectors, table))
    ids = torch.cdist(vectors.flatten(1, 2), table[None]).argmin(-1)
    given = torch.randint(config.vocab, (2, rows * columns), generator=torch.manual_seed(2))

    def decoded(ids: torch.Tensor) -> torch.Tensor:
        return network.decoder(network.post_quant_conv(looked_up(ids)))

    def looked_up(ids: torch.Tensor) -> torch.Tensor:
        return table[ids].view(2, rows, columns, -1).permute(0, 3, 1, 2)

    levels = (127.5 * decoded(given) + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    block = network.encoder.get_submodule("down.0.block.0")
    tensors = {
        "image": image,
        "indices_in": given,
        "enc_first_resblock": block(network.encoder.conv_in(image))[:1],
        "enc_out": encoded,
        "z_pre_quant": features,
        "indices": ids,
        "quant": looked_up(ids),
        "recon": decoded(ids),
        "decode_from_indices": decoded(given),
        "uint8_from_indices": levels,
    }
    entries = {name: {"role": "output", "max_abs": 1e-4, "compare": rule} for name, rule in OUTPUTS.items()}
    about = {"method": "LlamaGen VQ tokenizer", "config": meta(config)}
    entries |= {"image": {"role": "input"}, "indices_in": {"role": "input"}}
    (folder / "meta.json").write_text(json.dumps({**about, "io": entries}))
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "io.safetensors")
    official = to_official(network.state_dict(), table_for(config))
    save_file({name: value.clone() for name, value in official.items()}, folder / "weights.safetensors")
    return folder


DS8 = {"width_mult": (1, 2, 2, 4), "width": 8, "groups": 8, "res_blocks": 1}
NUMBERS = {
    "ds8": (DS8, 32, 32),
    "ds8-wide": (DS8, 16, 40),
    "ds16": ({"width_mult": (1, 1, 2, 2, 4), "width": 4, "groups": 2, "res_blocks": 2}, 48, 32),
    "plain": ({"width_mult": (1, 2), "width": 6, "groups": 3, "res_blocks": 1, "normalised": False}, 6, 4),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_folders_of_other_widths_levels_and_grids_replay(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, height, width = NUMBERS[name]
    config = VQConfig(channels=3, latent_width=10, code_width=3, vocab=20, pixels=width, **numbers)
    assert check(fixture(tmp_path, config, height, width))
    assert "covered 8 of 8 outputs" in capsys.readouterr().out


def test_what_the_official_code_fixes_may_be_left_away() -> None:
    config = replace(tiny.GRID_VQ, width=128, res_blocks=2, groups=32)
    assert tokenizer_config({"ModelArgs": meta(config)["ModelArgs"]}, config.pixels) == config


def test_a_decoder_of_other_widths_than_its_encoder_is_refused() -> None:
    numbers = meta(tiny.GRID_VQ)
    numbers["ModelArgs"]["decoder_ch_mult"] = [1, 1, 1]
    with pytest.raises(GenstudioError, match="different widths"):
        tokenizer_config(numbers, pixels=16)
