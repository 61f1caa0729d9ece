"""MAR's diffusion head and its chains, replayed on the fixtures mar-diffusion and disa.

N tokens, C channels, D width of the condition, S steps, T timesteps.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.nn.denoiser import Denoiser
from genstudio.samplers.chains import Chain, ddpm, dpm_solver
from genstudio.samplers.diffusion import Diffusion, cosine_abar, timesteps
from genstudio.samplers.solve import Field, Solved, solve
from genstudio.samplers.steps import Annealed
from genstudio.samplers.values import ALL
from tests.support import parity_folder

OFFICIAL = {
    "time_embed.mlp.0": "time_embed.fc1",
    "time_embed.mlp.2": "time_embed.fc2",
    "res_blocks": "blocks",
    "in_ln": "norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "final_layer.adaLN_modulation.1": "final_adaln.linear",
    "adaLN_modulation.1": "adaln.linear",
    "final_layer.linear": "output_proj",
}


def head(folder: Path) -> Denoiser:
    """The head of an official file, sized by its tensors."""
    tensors = {}
    for name, tensor in load_file(folder / "weights.safetensors").items():
        if name.startswith("diffloss.net."):
            name = name.removeprefix("diffloss.net.")
            for official, ours in OFFICIAL.items():
                name = name.replace(official, ours)
            tensors[name] = tensor
    width, channels = tensors["input_proj.weight"].shape
    denoiser = Denoiser(
        channels=channels,
        outputs=len(tensors["output_proj.bias"]),
        condition=tensors["cond_embed.weight"].shape[1],
        width=width,
        depth=sum(name.endswith("norm.weight") for name in tensors),
    )
    denoiser.load_state_dict(tensors)
    return denoiser.eval()


def guided(denoiser: Denoiser, z_ND: Tensor, chain: Chain, cfg: float) -> Field:
    """z holds condition rows, then null rows where cfg is not 1; both see the state of the condition rows."""
    ready = denoiser.prepare(z_ND, chain.time_S)

    def field(x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        eps, share = denoiser(x.repeat(len(z_ND) // len(x), 1), step, ready).chunk(2, -1)
        eps_given, eps_null = eps[: len(x)], eps[-len(x) :]
        return eps_null + cfg * (eps_given - eps_null), (share[: len(x)] + 1) / 2

    return field


@pytest.fixture(scope="module")
def mar() -> dict[str, Tensor]:
    return load_file(parity_folder("mar-diffusion") / "io.safetensors")


@pytest.fixture(scope="module")
def disa() -> dict[str, Tensor]:
    return load_file(parity_folder("disa") / "io.safetensors")


def tolerance(fixture: str, name: str) -> float:
    meta = json.loads((parity_folder(fixture) / "meta.json").read_text())
    return float(meta["io"][name]["max_abs"])


def test_schedule_tables(mar: dict[str, Tensor]) -> None:
    base = cosine_abar()
    diffusion = Diffusion.retain(base, timesteps("100"))
    tables = {
        "base_alphas_cumprod": base,
        "alphas_cumprod": diffusion.abar_T,
        "log_betas": diffusion.beta_T.log(),
        "posterior_log_variance_clipped": diffusion.posterior_log_variance_T,
        "posterior_mean_coef1": diffusion.clean_weight_T,
        "posterior_mean_coef2": diffusion.noisy_weight_T,
        "timestep_map": diffusion.time_T,
    }
    for name, table in tables.items():
        torch.testing.assert_close(
            table.to(mar[f"table.{name}"].dtype), mar[f"table.{name}"], atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("spec", ["10,5,5", "25", "64", "256", "ddim50"])
def test_respacing(mar: dict[str, Tensor], spec: str) -> None:
    assert list(timesteps(spec)) == mar[f"respace.{spec.replace(',', '_')}"].tolist()


@pytest.mark.parametrize(
    ("run", "cfg", "temperature"),
    [("nocfg_t1", 1.0, 1.0), ("nocfg_t095", 1.0, 0.95), ("cfg29_t1", 2.9, 1.0), ("cfg17_t09", 1.7, 0.9)],
)
@torch.inference_mode()
def test_chains_of_mar(mar: dict[str, Tensor], run: str, cfg: float, temperature: float) -> None:
    tokens = len(mar["init_noise"])
    z_ND = mar["z"] if cfg != 1 else mar["z"][:tokens]
    chain = ddpm(Diffusion.retain(cosine_abar(), timesteps("100")), "learned")
    states: list[Tensor] = []

    def trace(name: str, tensor: Tensor) -> None:
        if name == "state":
            states.append(tensor)

    field = guided(head(parity_folder("mar-diffusion")), z_ND, chain, cfg)
    solved = solve(field, chain, mar["init_noise"], mar["step_noise"].__getitem__, temperature, trace=trace)
    expected = {"traj": torch.stack(states), "sample": solved.x, "x0_last": solved.x}
    for name, tensor in expected.items():
        atol = tolerance("mar-diffusion", f"{run}.{name}")
        torch.testing.assert_close(tensor, mar[f"{run}.{name}"], atol=atol, rtol=0)


@torch.inference_mode()
def test_a_time_per_token_equals_a_step_of_a_chain(mar: dict[str, Tensor]) -> None:
    denoiser = head(parity_folder("mar-diffusion"))
    z_ND, x_NC = mar["z"][:5], mar["init_noise"]
    chain = denoiser.prepare(z_ND, torch.tensor([10.0, 400.0]))
    own = denoiser.prepare(z_ND, torch.full((5,), 400.0))
    torch.testing.assert_close(denoiser(x_NC, ALL, own), denoiser(x_NC, 1, chain))


@pytest.mark.parametrize("run", ["dpm", "dpmpp"])
@torch.inference_mode()
def test_dpm_solvers_of_disa(disa: dict[str, Tensor], run: str) -> None:
    """Both are one chain: at order 1 DPM-Solver++ is DPM-Solver."""
    chain = dpm_solver(cosine_abar()[:951], steps=10, first=0.95)
    field = guided(head(parity_folder("disa")), disa["dpm_z"], chain, 1.0)
    solved: Solved = solve(field, chain, disa["dpm_noise"])
    atol = tolerance("disa", f"{run}.sample")
    torch.testing.assert_close(solved.x, disa[f"{run}.sample"], atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("name", "rule", "units"),
    [
        ("linear", Annealed(20, 4), 8),
        ("cosine", Annealed(20, 4, "cosine"), 6),
        ("two_stage", Annealed(16, 6, "two-stage"), 5),
        ("ddim", Annealed(20, 4), 5),
        ("paper_linear", Annealed(50, 5), 64),
        ("paper_cosine", Annealed(50, 5, "cosine"), 64),
        ("paper_two_stage", Annealed(50, 5, "two-stage"), 64),
        ("short_25_5", Annealed(25, 5), 32),
    ],
)
def test_annealed_schedules(disa: dict[str, Tensor], name: str, rule: Annealed, units: int) -> None:
    spacing, clip = ("ddim{}", 980) if name == "ddim" else ("{}", 950)
    nominal = [rule.count(unit, units) for unit in range(units)]
    kept = [timesteps(spacing.format(count), clip=clip) for count in nominal]
    assert nominal == disa[f"sched.{name}.nominal_steps"].tolist()
    assert [len(steps) for steps in kept] == disa[f"sched.{name}.actual_steps"].tolist()
    recorded = disa[f"sched.{name}.timesteps"].tolist()
    assert [list(steps) for steps in kept] == [[step for step in row if step >= 0] for row in recorded]
