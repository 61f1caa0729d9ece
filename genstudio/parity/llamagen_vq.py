"""Replay of the LlamaGen tokenizer fixture: encode, nearest codes, decode, the uint8 rule."""

from typing import Any

import torch
from torch import Tensor

from genstudio.configs.vq import VQConfig
from genstudio.errors import GenstudioError
from genstudio.media.pixels import to_uint8
from genstudio.nn.conv2d import GROUPS
from genstudio.parity.fixture import Fixture
from genstudio.parity.networks import from_tensors
from genstudio.releases.official_llamagen import PIXELS
from genstudio.samplers.values import Codes
from genstudio.tokenizers.vq import VQ


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of the fixture, through the studio's own tokenizer."""
    image_BCHW = fixture.fed("image")
    tokenizer = filled(fixture)
    first: list[Tensor] = []
    block = tokenizer.encoder.get_submodule("down.0.block.0")
    hook = block.register_forward_hook(lambda *call: first.append(call[-1]))
    codes = tokenizer.encode(image_BCHW)
    hook.remove()
    enc_BZhw = tokenizer.encoder(image_BCHW)
    quant_BChw = tokenizer.latents(codes)
    given = Codes("ids", (fixture.fed("indices_in"),), grid=codes.grid)
    decoded_BCHW = tokenizer.decode(tokenizer.latents(given))
    return {
        "enc_first_resblock": first[0][:1],
        "enc_out": enc_BZhw,
        "z_pre_quant": tokenizer.quant_conv(enc_BZhw),
        "indices": codes.data[0],
        "quant": quant_BChw,
        "recon": tokenizer.decode(quant_BChw),
        "decode_from_indices": decoded_BCHW,
        "uint8_from_indices": to_uint8(decoded_BCHW, PIXELS).permute(0, 2, 3, 1),
    }


def filled(fixture: Fixture) -> VQ:
    """The tokenizer of a fixture folder (sampling fixtures have it as a sibling)."""
    config = tokenizer_config(fixture.meta["config"], pixels=fixture.fed("image").shape[-1])
    tokenizer = from_tensors(config, fixture.weights())
    assert isinstance(tokenizer, VQ)
    return tokenizer


def tokenizer_config(config: dict[str, Any], pixels: int) -> VQConfig:
    """From the official names of a fixture's numbers; what the official code fixes may be left away. Raises
    GenstudioError where encoder and decoder differ in their widths, which those of no released tokenizer do.
    """
    numbers, convolutions = config["ModelArgs"], config.get("Encoder/Decoder", {})
    if numbers["encoder_ch_mult"] != numbers["decoder_ch_mult"]:
        raise GenstudioError(
            "Encoder and decoder of this tokenizer have different widths.", "Only equal ones are known here."
        )
    return VQConfig(
        channels=convolutions.get("in_channels", 3),
        width=convolutions.get("ch", 128),
        width_mult=tuple(numbers["encoder_ch_mult"]),
        res_blocks=convolutions.get("num_res_blocks", 2),
        latent_width=numbers["z_channels"],
        code_width=numbers["codebook_embed_dim"],
        vocab=numbers["codebook_size"],
        pixels=pixels,
        normalised=numbers["codebook_l2_norm"],
        beta=numbers["commit_loss_beta"],
        groups=config.get("group_norm", {}).get("num_groups", GROUPS),
    )
