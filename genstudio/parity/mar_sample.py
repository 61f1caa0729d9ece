"""Replays of complete MAR runs under recorded orders and noise, by a fixed number of denoising steps or by
DiSA's schedules, and of DiSA's schedules and solvers alone.

Recorded noise of steps holds a last row that no chain uses, and is cut by step and iteration here.
B pictures, K iterations, N rows of one iteration (tokens of all pictures), C channels, S steps.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genstudio.cache.full import FullCache
from genstudio.generators.mar import MAR
from genstudio.media.pixels import to_uint8
from genstudio.parity import mar_vae
from genstudio.parity.fixture import Fixture
from genstudio.parity.mar import filled
from genstudio.releases.official_mar import PIXELS
from genstudio.samplers.chains import Chain, chain_of, dpm_solver
from genstudio.samplers.denoise import guided
from genstudio.samplers.diffusion import cosine_abar
from genstudio.samplers.draws import Use
from genstudio.samplers.guidance import Constant, Guidance, Linear, Ramp
from genstudio.samplers.masked import MaskedWalk
from genstudio.samplers.orders import MaskedOrder
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.recorded import Queue, RecordedDraws
from genstudio.samplers.solve import solve
from genstudio.samplers.steps import DDIM, DDPM, Annealed, Denoising, Fixed
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Done, Job, run

RAMPS: Final[Mapping[str, Ramp]] = {"linear": Linear(), "constant": Constant()}
DISA_CLIP, DDIM_CLIP = 950, 980
SOLVED = 951  # timesteps of the diffusion that DiSA's solvers see: the clip leaves so many


class Ran(NamedTuple):
    """What a recorded run gave: latents, the weight of every iteration, tokens in the order of the noise, how
    many of them an iteration made, in how many steps, and how many were masked after it."""

    latents_BChw: Tensor
    weights: list[Tensor]
    tokens: list[Tensor]
    rows: list[int]
    steps: list[int]
    masked: tuple[int, ...]


@torch.no_grad()
def replay_samples(fixture: Fixture) -> dict[str, Tensor]:
    """Every run of MAR's own sampler: guidance, counts of tokens, tokens, latents, pictures."""
    network, made = filled(fixture), dict[str, Tensor]()
    steps = Fixed(int(fixture.meta["config"]["num_sampling_steps"]))
    tokenizer = mar_vae.filled(fixture.sibling("MAR KL-VAE"))
    for name, settings in fixture.meta["runs"].items():
        ran = _run(fixture, network, name, Denoising(steps=steps, temperature=settings["temperature"]))
        image_BCHW = tokenizer.decode(ran.latents_BChw)
        made |= _named(name, ran) | {
            f"{name}.cfg_iter": torch.stack(ran.weights),
            f"{name}.mask_len": torch.tensor(ran.masked),
            f"{name}.image": image_BCHW,
            f"{name}.image_uint8": to_uint8(image_BCHW, PIXELS).long(),
        }
    return made


@torch.no_grad()
def replay_annealed(fixture: Fixture) -> dict[str, Tensor]:
    """DiSA's runs, schedules and solvers."""
    network, made = filled(fixture), _solved(fixture)
    tokenizer = mar_vae.filled(fixture.sibling("MAR KL-VAE"))
    for name, settings in fixture.meta["runs"].items():
        head = _annealed(settings)
        ran = _run(fixture, network, name, head)
        made |= _named(name, ran) | _schedule(name, head, settings["num_iter"])
        made[f"{name}.image"] = tokenizer.decode(ran.latents_BChw)
        made[f"{name}.steps_used"] = torch.tensor(ran.steps)
    for name, text in fixture.meta["extra_schedules"].items():
        made |= _schedule(name, *_written(text))
    return made


def _run(fixture: Fixture, network: MAR, name: str, head: Denoising) -> Ran:
    """One recorded run, walked."""
    settings, order_BL = fixture.meta["runs"][name], fixture.fed(f"{name}.orders")
    order = MaskedOrder(network.config.codes, settings["num_iter"])
    rows = [len(order_BL) * len(unit.made) for unit in order.units()]
    steps = [chain.steps for chain in _chains(head, len(rows))]
    sources = {Use.ORDER: Queue(order_BL), Use.START: Queue(fixture.fed(f"{name}.init_noise"))}
    if isinstance(head.chain, DDPM):
        sources[Use.STEP] = Queue(_used(fixture.fed(f"{name}.step_noise"), rows, steps))
    noted: dict[str, list[Tensor]] = {"weight": [], "made": [], "field": [], "state": []}
    job = Job(
        Given(_labels(fixture, settings, network.config.classes)),
        torch.arange(len(order_BL)),
        Recipe(
            guidance=Guidance(cfg=settings["cfg"], ramp=RAMPS[settings["cfg_schedule"]]),
            steps=settings["num_iter"],
            head=head,
        ),
        RecordedDraws(sources),
        lambda rows, capacity, _look: FullCache(network.config.cache_spec(rows, capacity, "float32"), "cpu"),
        trace=lambda what, value: noted[what].append(value),
    )
    *_, done = run(MaskedWalk(network), job)
    assert isinstance(done, Done) and isinstance(job.draws, RecordedDraws)
    job.draws.finish()
    return Ran(done.codes.data[0], noted["weight"], noted["made"], rows, steps, order.masked())


def _named(name: str, ran: Ran) -> dict[str, Tensor]:
    """What both kinds of fixtures hold of a run."""
    return {
        f"{name}.latents": ran.latents_BChw,
        f"{name}.rows": torch.tensor(ran.rows),
        f"{name}.sampled_rows": torch.cat(ran.tokens),
    }


def _labels(fixture: Fixture, settings: dict[str, Any], classes: int) -> Tensor:
    """Those of the fixture; a run whose labels are null is of no class."""
    label_B = fixture.fed("labels")
    return label_B if settings.get("labels", "given") is not None else torch.full_like(label_B, classes)


def _used(noise: Tensor, rows: list[int], steps: list[int]) -> Tensor:
    """All rows that chains ask for, iteration by iteration and step by step. Recorded are either the same
    number of steps for all rows [S, sum rows, C], or iterations one behind the other [sum of S rows, C]."""
    if noise.ndim == 3:
        parts = list(noise.split(rows, dim=1))
    else:
        blocks = noise.split([count * row for count, row in zip(steps, rows, strict=True)])
        parts = [block.view(count, row, -1) for block, count, row in zip(blocks, steps, rows, strict=True)]
    return torch.cat([part[:-1].flatten() for part in parts])


def _annealed(settings: dict[str, Any]) -> Denoising:
    """The sampler "default" is MAR's own, with the upper count throughout."""
    upper, lower = settings["diff_upper_steps"], settings["diff_lower_steps"]
    if settings["diff_sampler"] == "default":
        return Denoising(steps=Fixed(upper), temperature=settings["temperature"])
    steps = Annealed(upper, lower, settings["diff_annealing_strategy"])
    chain = DDIM(DDIM_CLIP) if settings["diff_sampler"] == "DDIM" else DDPM(DISA_CLIP)
    return Denoising(steps=steps, chain=chain, temperature=settings["temperature"])


def _written(text: str) -> tuple[Denoising, int]:
    """ "K=64 50->5 linear"."""
    units, bounds, rule = text.split()
    upper, lower = map(int, bounds.split("->"))
    steps = Annealed(upper, lower, rule)  # type: ignore[arg-type]
    return Denoising(steps=steps, chain=DDPM(DISA_CLIP)), int(units.removeprefix("K="))


def _schedule(name: str, head: Denoising, units: int) -> dict[str, Tensor]:
    """Counts that a rule names, counts that the clip leaves, and the timesteps, ascending, padded with -1."""
    times = [chain.time_S.flip(0).long() for chain in _chains(head, units)]
    return {
        f"sched.{name}.nominal_steps": torch.tensor([head.steps.count(unit, units) for unit in range(units)]),
        f"sched.{name}.actual_steps": torch.tensor([len(time_S) for time_S in times]),
        f"sched.{name}.timesteps": pad_sequence(times, batch_first=True, padding_value=-1),
    }


def _chains(head: Denoising, units: int) -> list[Chain]:
    return [chain_of(head.chain, head.steps.count(unit, units)) for unit in range(units)]


def _solved(fixture: Fixture) -> dict[str, Tensor]:
    """DPM-Solver and DPM-Solver++, which are one chain at order 1."""
    head, made = filled(fixture).head, dict[str, Tensor]()
    z_ND, start_NC = fixture.fed("dpm_z"), fixture.fed("dpm_noise")
    for name, settings in fixture.meta["dpm"].items():
        chain = dpm_solver(cosine_abar()[:SOLVED], settings["steps"], settings["t_start"])
        field = guided(head, z_ND, len(start_NC), chain, weight=1.0)
        made[f"{name}.sample"] = solve(field, chain, start_NC).x
    return made
