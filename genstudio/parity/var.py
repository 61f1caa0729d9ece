"""Replays of the VAR fixtures: the multi-scale tokenizer, and the transformer with its sampling runs.

Everything goes through the studio's own networks, walk and filters; the numbers of the configuration come
from the fixture, so that any width, depth, class count or list of scales replays.
"""

import re
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.configs.var import NextScaleConfig, VARConfig
from genstudio.errors import GenstudioError
from genstudio.generators.var import VAR, teacher_forced
from genstudio.nn.conv2d import GROUPS
from genstudio.parity.fixture import Fixture
from genstudio.parity.networks import from_tensors
from genstudio.samplers import filters
from genstudio.samplers.draws import KeyedDraws, Use
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Filter, Recipe, TopK, TopP
from genstudio.samplers.recorded import RecordedDraws, Table
from genstudio.samplers.scale import ScaleWalk
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, run
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ

Config = TypeVar("Config", bound=NextScaleConfig)


@torch.no_grad()
def replay_tokenizer(fixture: Fixture) -> dict[str, Tensor]:
    """Encode, accumulated latents, transformer input, decode and training loss of the VQVAE."""
    tokenizer = tokenizer_from(fixture.meta["config"], fixture.weights())
    f_BChw = tokenizer.features(fixture.fed("image"))
    codes = tokenizer.encode(fixture.fed("image"))
    latents = tokenizer.pyramid.accumulate(codes)
    part = Codes("scales", codes.data[: len(codes.data) // 2 + 1])
    recon_BCHW = tokenizer.decode(latents[-1])
    return {
        "f": f_BChw,
        **{f"idx_{scale}": ids for scale, ids in enumerate(codes.data)},
        **{f"fhat_{scale}": latent for scale, latent in enumerate(latents)},
        "recon": recon_BCHW.clamp(-1, 1),
        "recon_unclamped": recon_BCHW,
        "recon_partial_mid": tokenizer.decode(tokenizer.latents(part)).clamp(-1, 1),
        "var_input": tokenizer.pyramid.teacher(codes),
        "vq_loss": tokenizer(fixture.fed("image")).vq_loss.view(1),
    }


@torch.no_grad()
def replay_transformer(fixture: Fixture) -> dict[str, Tensor]:
    """Teacher forcing, filters, and the greedy and smoothed runs of the transformer."""
    config = fixture.meta["config"]
    var = from_tensors(transformer_config(config), fixture.weights("var."))
    tokenizer = tokenizer_from(config["vqvae"], fixture.weights("vae."))
    assert isinstance(var, VAR)
    return {
        **_teacher_forcing(fixture, var, tokenizer),
        **_filtered(fixture),
        **_greedy(fixture, var, tokenizer),
        **_smooth(fixture, var, tokenizer),
    }


def _teacher_forcing(fixture: Fixture, var: VAR, tokenizer: MultiScaleVQ) -> dict[str, Tensor]:
    scales = range(len(var.config.sizes))
    codes = Codes("scales", tuple(fixture.fed(f"tf_idx_{scale}") for scale in scales))
    feeds, label_B = tokenizer.pyramid.teacher(codes), fixture.fed("labels")
    first: list[Tensor] = []
    hook = var.blocks[0].register_forward_hook(lambda _module, _args, output: first.append(output))
    logits = teacher_forced(var, feeds, Given(label_B))
    hook.remove()
    null = teacher_forced(var, feeds, Given(torch.full_like(label_B, var.config.classes)))
    loss = F.cross_entropy(logits.flatten(0, 1), torch.cat(codes.data, dim=1).flatten())
    return {
        "tf_input": feeds,
        "tf_block0": first[0],
        "tf_logits": logits,
        "tf_logits_uncond": null,
        "tf_loss": loss.view(1),
    }


def _filtered(fixture: Fixture) -> dict[str, Tensor]:
    """sampler_probs_k12_p08: top-k 12, then top-p 0.8; either part may be missing."""
    made = {}
    for name in fixture.outputs:
        if match := re.fullmatch(r"sampler_probs(?:_k(\d+))?(?:_p(\d)(\d*))?", name):
            k, whole, rest = match.groups()
            chosen: tuple[Filter, ...] = (TopK(int(k)),) if k else ()
            chosen += (TopP(float(f"{whole}.{rest or 0}")),) if whole else ()
            made[name] = filters.apply(chosen, fixture.fed("sampler_logits")).softmax(-1)
    return made


def _greedy(fixture: Fixture, var: VAR, tokenizer: MultiScaleVQ) -> dict[str, Tensor]:
    guided, logits = _sample(fixture, var, tokenizer, fixture.meta["config"]["greedy"])
    plain, _ = _sample(fixture, var, tokenizer, {**fixture.meta["config"]["greedy"], "cfg": 0.0})
    return {
        **{f"greedy_idx_{scale}": ids for scale, ids in enumerate(guided.data)},
        **{f"greedy_logits_{scale}": one for scale, one in enumerate(logits)},
        "greedy_image": _picture(tokenizer, guided),
        "greedy_nocfg_idx": torch.cat(plain.data, dim=1),
        "greedy_nocfg_image": _picture(tokenizer, plain),
    }


def _smooth(fixture: Fixture, var: VAR, tokenizer: MultiScaleVQ) -> dict[str, Tensor]:
    codes, _ = _sample(fixture, var, tokenizer, fixture.meta["config"]["smooth"])
    return {"smooth_image": _picture(tokenizer, codes)}


def _sample(
    fixture: Fixture, var: VAR, tokenizer: MultiScaleVQ, settings: dict[str, Any]
) -> tuple[Codes, list[Tensor]]:
    """One run of the scale walk; also the guided logits of every scale."""
    label_B, logits = fixture.fed("labels"), list[Tensor]()
    smooth = bool(settings.get("more_smooth", False))
    recipe = Recipe(
        guidance=Guidance(cfg=settings["cfg"], ramp=Plus()),
        filters=(TopK(settings["top_k"]), *([TopP(settings["top_p"])] if settings["top_p"] else [])),
        smooth=smooth,
    )
    draws = _recorded_noise(fixture, len(var.config.sizes)) if smooth else KeyedDraws()

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(var.config.cache_spec(rows, capacity, "float32", look), "cpu")

    job = Job(
        Given(label_B),
        torch.arange(len(label_B)),
        recipe,
        draws,
        cache,
        trace=lambda name, value: logits.append(value) if name == "guided_logits" else None,
    )
    *_, done = run(ScaleWalk(var, tokenizer.pyramid), job)
    assert isinstance(done, Done)
    return done.codes, logits


def _recorded_noise(fixture: Fixture, scales: int) -> RecordedDraws:
    noise_BLV = torch.cat([fixture.fed(f"smooth_exponential_{scale}") for scale in range(scales)], dim=1)
    return RecordedDraws({Use.SMOOTH: Table(noise_BLV)})


def _picture(tokenizer: MultiScaleVQ, codes: Codes) -> Tensor:
    return (tokenizer.decode(tokenizer.latents(codes)).clamp(-1, 1) + 1) / 2


def tokenizer_from(numbers: dict[str, Any], official: dict[str, Tensor]) -> MultiScaleVQ:
    """The VQVAE of a fixture, whose norms may have fewer groups than released ones."""
    config = tokenizer_config(numbers)
    with torch.device("meta"):
        network = MultiScaleVQ(config, numbers.get("num_groups", GROUPS))
    tokenizer = from_tensors(config, official, network)
    assert isinstance(tokenizer, MultiScaleVQ)
    return tokenizer


def tokenizer_config(numbers: dict[str, Any]) -> MultiScaleVQConfig:
    """From the official names of a fixture's numbers. Raises GenstudioError for a search by cosine, which no
    released VQVAE uses."""
    if numbers.get("using_znorm", False):
        raise GenstudioError(
            "This VQVAE searches codes by cosine.", "Only the Euclidean search is known here."
        )
    shared = numbers.get("share_quant_resi", 4)
    return MultiScaleVQConfig(
        channels=3,
        width=numbers["ch"],
        width_mult=tuple(numbers["ch_mult"]),
        res_blocks=numbers["num_res_blocks"],
        code_width=numbers["z_channels"],
        vocab=numbers["vocab_size"],
        sizes=tuple(numbers["v_patch_nums"]),
        phis=shared or numbers.get("default_qresi_counts") or len(numbers["v_patch_nums"]),
        phi_ratio=numbers.get("quant_resi", 0.5),
        quant_kernel=numbers.get("quant_conv_ks", 3),
        beta=numbers.get("beta", 0.25),
    )


def transformer_config(config: dict[str, Any]) -> VARConfig:
    """From the official names of a fixture's numbers."""
    return network_config(VARConfig, config["var"], config["vqvae"])


def network_config(kind: type[Config], numbers: dict[str, Any], tokenizer: dict[str, Any]) -> Config:
    """The same for any network of several scales."""
    return kind(
        classes=numbers["num_classes"],
        depth=numbers["depth"],
        width=numbers["embed_dim"],
        heads=numbers["num_heads"],
        mlp_ratio=numbers["mlp_ratio"],
        vocab=tokenizer["vocab_size"],
        code_width=tokenizer["z_channels"],
        sizes=tuple(numbers["patch_nums"]),
        shared_adaln=numbers["shared_aln"],
        l2_attention=numbers["attn_l2_norm"],
        norm_eps=numbers["norm_eps"],
    )
