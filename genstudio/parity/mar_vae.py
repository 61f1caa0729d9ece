"""Replay of MAR's KL-VAE: moments, posterior, scaled latents, and both decodings."""

from typing import Any

import torch
from torch import Tensor

from genstudio.configs.kl import KLConfig
from genstudio.parity.fixture import Fixture
from genstudio.parity.networks import from_tensors
from genstudio.tokenizers.kl import KL


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of the fixture, through the studio's own tokenizer."""
    tokenizer, image_BCHW = filled(fixture), fixture.fed("image")
    seen: dict[str, Tensor] = {}
    hooks = [
        tokenizer.get_submodule(place).register_forward_hook(_kept(seen, name))
        for name, place in {
            "enc_down0_block0": "encoder.down.0.block.0",
            "encoder_out": "encoder",
            "moments": "quant_conv",
            "dec_mid_attn": "decoder.mid.attn_1",
        }.items()
    ]
    posterior = tokenizer.posterior(image_BCHW)
    mean_BChw, scale = posterior.mean_BChw, tokenizer.config.scale
    from_mean_BCHW = tokenizer.decode(mean_BChw * scale)
    for hook in hooks:
        hook.remove()
    latent_BChw = posterior.sample(fixture.fed("posterior_noise")) * scale
    return {
        **seen,
        "mean": mean_BChw,
        "logvar": posterior.logvar_BChw,
        "kl": posterior.divergence(),
        "latent": latent_BChw,
        "recon_from_mean": from_mean_BCHW,
        "recon_from_latent": tokenizer.decode(latent_BChw),
    }


def filled(fixture: Fixture) -> KL:
    """The tokenizer of a fixture folder (sampling fixtures have it as a sibling)."""
    tokenizer = from_tensors(tokenizer_config(fixture.meta["config"]), fixture.weights())
    assert isinstance(tokenizer, KL)
    return tokenizer


def tokenizer_config(numbers: dict[str, Any]) -> KLConfig:
    """From the official names of a fixture's numbers. A level has attention where the constructor's
    resolution, halved that often, is among `attn_resolutions`."""
    sides = [numbers["resolution"] >> level for level in range(len(numbers["ch_mult"]))]
    return KLConfig(
        channels=numbers.get("in_channels", 3),
        width=numbers["ch"],
        width_mult=tuple(numbers["ch_mult"]),
        res_blocks=numbers["num_res_blocks"],
        code_width=numbers["embed_dim"],
        pixels=numbers["resolution"],
        scale=numbers["scale"],
        attention=_levels(sides, numbers["attn_resolutions"]),
        decoder_attention=_levels(sides, numbers.get("decoder_attn_resolutions", ())),
    )


def _levels(sides: list[int], attended: list[int]) -> tuple[int, ...]:
    return tuple(level for level, side in enumerate(sides) if side in attended)


def _kept(seen: dict[str, Tensor], name: str) -> Any:
    return lambda *call: seen.__setitem__(name, call[-1])
