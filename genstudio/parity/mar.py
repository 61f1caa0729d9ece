"""Replay of MAR's encoder, decoder and losses, and what the sampling fixtures share with it: configs.

B pictures, L tokens, C channels of a token, N rows of the diffusion head alone.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genstudio.configs.mar import MARConfig
from genstudio.generators.mar import MAR, split, token_losses
from genstudio.nn.denoiser import Denoiser
from genstudio.parity.fixture import Fixture
from genstudio.parity.networks import from_tensors
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from genstudio.samplers.diffusion import Diffusion, cosine_abar
from genstudio.samplers.diffusion_loss import DiffusionLoss
from genstudio.samplers.values import ALL, Given

STEPS = 1000  # of the diffusion that is trained


def replay_network(fixture: Fixture) -> dict[str, Tensor]:
    """Every output of the fixture: tokens, states of both transformers, losses, gradients."""
    network = filled(fixture)
    loss = DiffusionLoss(Diffusion.retain(cosine_abar(STEPS), range(STEPS)))
    with torch.no_grad():
        made = {
            **_states(fixture, network),
            **_head(fixture, network.head),
            **_losses(fixture, network.head, loss),
        }
    return made | _gradients(fixture, network, loss)


def filled(fixture: Fixture) -> MAR:
    """The network of a fixture folder."""
    network = from_tensors(network_config(fixture.meta["config"]), fixture.weights())
    assert isinstance(network, MAR)
    return network


def network_config(numbers: dict[str, Any]) -> MARConfig:
    """From the official names of a fixture's numbers."""
    epsilon = re.search(r"eps (\S+)", str(numbers.get("norm_layer", "")))
    return MARConfig(
        classes=numbers["class_num"],
        depth=numbers["encoder_depth"],
        width=numbers["encoder_embed_dim"],
        heads=numbers["encoder_num_heads"],
        decoder_depth=numbers["decoder_depth"],
        decoder_width=numbers["decoder_embed_dim"],
        decoder_heads=numbers["decoder_num_heads"],
        head_depth=numbers["diffloss_d"],
        head_width=numbers["diffloss_w"],
        side=numbers["img_size"] // numbers["vae_stride"] // numbers["patch_size"],
        code_width=numbers["vae_embed_dim"],
        patch=numbers["patch_size"],
        buffer=numbers["buffer_size"],
        mlp_ratio=numbers["mlp_ratio"],
        norm_eps=float(epsilon[1]) if epsilon else 1e-6,
    )


def _states(fixture: Fixture, network: MAR) -> dict[str, Tensor]:
    config, tokens_BLC = network.config, network.tokens(fixture.fed("imgs"))
    masked_BM, known_Bn = split(fixture.fed("orders"), int(fixture.fed("num_masked")))
    cond = network.condition(Given(fixture.fed("labels")), null=True)
    batch = len(tokens_BLC)
    given, null = cond.take(slice(0, batch)), cond.take(slice(batch, None))
    encode = partial(network.encode, tokens_BLC, known_Bn, given)
    hidden_BnE, (enc_in, enc_out) = _watched(network, "encoder", encode)
    z_BLD, (dec_in, dec_out) = _watched(network, "decoder", partial(network.decode, hidden_BnE, known_Bn))
    nothing_B0 = known_Bn[:, :0]
    return {
        "tokens": tokens_BLC,
        "unpatchified": network.latents(tokens_BLC),
        "mask": torch.zeros(batch, config.codes).scatter(1, masked_BM, 1.0),
        "enc_block0_in": enc_in,
        "enc_block0_out": enc_out,
        "enc_out": hidden_BnE,
        "dec_block0_in": dec_in,
        "dec_block0_out": dec_out,
        "z": z_BLD,
        "z_all_masked": network(torch.zeros_like(tokens_BLC), nothing_B0, given),
        "z_null": network(tokens_BLC, known_Bn, null),
    }


def _watched(network: MAR, side: str, work: Callable[[], Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """What `work` gives, and what goes into and comes out of the first block of one side, all slots."""
    block = network.get_submodule(f"{side}_blocks.0")
    seen: list[Tensor] = []
    hook = block.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    made = work()
    hook.remove()
    return made, (seen[0], block(seen[0]))


def _head(fixture: Fixture, head: Denoiser) -> dict[str, Tensor]:
    """The head alone. The guided call sees the first half of the rows twice and mixes the noise alone."""
    x_NC, z_ND = fixture.fed("dl_target"), fixture.fed("dl_z")
    guided = fixture.meta["io"]["net_out_cfg"]["about"]
    t, cfg = (float(re.search(f"{name} = ([0-9.]*[0-9])", guided)[1]) for name in ("t", "cfg_scale"))  # type: ignore[index]
    half = len(x_NC) // 2
    twice_N2C = head(x_NC[:half].repeat(2, 1), 0, head.prepare(z_ND, torch.tensor([t])))
    eps_NC, share_NC = twice_N2C.chunk(2, dim=-1)
    mixed = eps_NC[half:] + cfg * (eps_NC[:half] - eps_NC[half:])
    return {
        "time_embed": head.time_embed(fixture.fed("te_t")),
        "net_out": head(x_NC, ALL, head.prepare(z_ND, fixture.fed("dl_t"))),
        "net_out_cfg": torch.cat([mixed.repeat(2, 1), share_NC], dim=1),
    }


def _losses(fixture: Fixture, head: Denoiser, loss: DiffusionLoss) -> dict[str, Tensor]:
    clean_NC, t_N, noise_NC, mask_N = map(fixture.fed, ("dl_target", "dl_t", "dl_noise", "dl_mask"))
    x_NC = loss.noised(clean_NC, t_N, noise_NC)
    parts = loss.losses(head(x_NC, ALL, head.prepare(fixture.fed("dl_z"), t_N)), clean_NC, t_N, noise_NC)
    rows_N = parts.mse_N + parts.bound_N
    return {
        "x_t": x_NC,
        "loss_mse": parts.mse_N,
        "loss_vb": parts.bound_N,
        "loss_rows": rows_N,
        "loss_masked": ((rows_N * mask_N).sum() / mask_N.sum()).view(1),
    }


def _gradients(fixture: Fixture, network: MAR, loss: DiffusionLoss) -> dict[str, Tensor]:
    """The whole training pass under the recorded masking rate, times and noise, and what it gives back."""
    order_BL, copies = fixture.fed("orders"), fixture.meta["config"]["diffusion_batch_mul"]
    batch, codes = order_BL.shape
    masked = math.ceil(codes * float(fixture.fed("full_mask_rate")))
    masked_BM, _ = split(order_BL, masked)
    at_kBM = masked_BM.expand(copies, -1, -1)
    t_kBM = fixture.fed("full_t").view(copies, batch, codes).gather(2, at_kBM)
    noise_kBLC = fixture.fed("full_noise").view(copies, batch, codes, -1)
    noise_kBMC = torch.take_along_dim(noise_kBLC, at_kBM[..., None], 2)
    tokens_BLC = network.tokens(fixture.fed("imgs"))
    given = Given(fixture.fed("labels"))
    parts = token_losses(network, loss, tokens_BLC, given, order_BL, t_kBM, noise_kBMC)
    total = (parts.mse_N + parts.bound_N).mean()
    total.backward()
    found = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    norm = torch.stack([grad.norm() for grad in found.values()]).norm()
    official = to_official(found, table_for(network.config))
    return {
        "full_loss": total.detach().view(1),
        "grad_norm_total": norm.view(1),
        **{f"grad.{name}": grad for name, grad in official.items()},
    }
