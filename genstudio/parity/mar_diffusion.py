"""Replay of MAR's diffusion head alone: schedule tables, respacing, and guided chains under recorded noise.

N tokens, C channels, D width of the condition.
"""

from typing import Any

import torch
from torch import Tensor

from genstudio.nn.denoiser import Denoiser
from genstudio.parity.fixture import Fixture
from genstudio.releases.rename import Table, from_official
from genstudio.releases.table_mar import denoiser_renames
from genstudio.releases.weights import fill
from genstudio.samplers.chains import ddpm
from genstudio.samplers.denoise import guided
from genstudio.samplers.diffusion import Diffusion, cosine_abar, timesteps
from genstudio.samplers.solve import solve


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """Every table, every respacing that an output names, every run."""
    config = fixture.meta["config"]
    diffusion = Diffusion.retain(cosine_abar(), timesteps(str(config["num_sampling_steps"])))
    made = {**_tables(diffusion), **_respacings(fixture)}
    for run, settings in fixture.meta["runs"].items():
        made |= {f"{run}.{name}": value for name, value in _run(fixture, diffusion, settings).items()}
    return made


def denoiser(config: dict[str, Any], official: dict[str, Tensor]) -> Denoiser:
    """The head of a MAR fixture, from its config and its `diffloss.net` tensors."""
    channels = config["vae_embed_dim"] * config["patch_size"] ** 2
    head = Denoiser(
        channels=channels,
        outputs=2 * channels,
        condition=config["decoder_embed_dim"],
        width=config["diffloss_w"],
        depth=config["diffloss_d"],
    )
    shapes = {name: tensor.shape for name, tensor in head.state_dict().items()}
    converted = from_official(official, Table(denoiser_renames("", "")), shapes)
    fill(head, converted.tensors, "the fixture")
    return head.eval()


def _run(fixture: Fixture, diffusion: Diffusion, settings: dict[str, float]) -> dict[str, Tensor]:
    """One chain; the clean rows predicted in the last step are its result."""
    start_NC, noise_SNC = fixture.fed("init_noise"), fixture.fed("step_noise")
    tokens, cfg = len(start_NC), settings["cfg"]
    z_ND = fixture.fed("z") if cfg != 1 else fixture.fed("z")[:tokens]
    chain = ddpm(diffusion, "learned")
    head = denoiser(fixture.meta["config"], fixture.weights("diffloss.net."))
    states: list[Tensor] = []
    solved = solve(
        guided(head, z_ND, tokens, chain, cfg),
        chain,
        start_NC,
        noise_SNC.__getitem__,
        settings["temperature"],
        trace=lambda name, tensor: states.append(tensor) if name == "state" else None,
    )
    return {"sample": solved.x, "traj": torch.stack(states), "x0_last": solved.x}


def _tables(diffusion: Diffusion) -> dict[str, Tensor]:
    return {
        "table.base_alphas_cumprod": cosine_abar(),
        "table.alphas_cumprod": diffusion.abar_T,
        "table.log_betas": diffusion.beta_T.log(),
        "table.posterior_log_variance_clipped": diffusion.posterior_log_variance_T,
        "table.posterior_mean_coef1": diffusion.clean_weight_T,
        "table.posterior_mean_coef2": diffusion.noisy_weight_T,
        "table.timestep_map": diffusion.time_T,
    }


def _respacings(fixture: Fixture) -> dict[str, Tensor]:
    """respace.10_5_5 is the spacing "10,5,5"."""
    names = [name for name in fixture.outputs if name.startswith("respace.")]
    specs = {name: name.removeprefix("respace.").replace("_", ",") for name in names}
    return {name: torch.tensor(timesteps(spec)) for name, spec in specs.items()}
