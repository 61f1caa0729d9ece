"""Replay of continuous speculative decoding: its acceptance and rejection alone, and complete runs of a pair.

Official refusals redraw all tokens of a verification, which recorded noise asks for: `rounds="batch"`.
N tokens of all verifications of a run, V verifications, C channels.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.generators.mar import MAR
from genstudio.parity import mar_vae
from genstudio.parity.fixture import Fixture
from genstudio.parity.mar import network_config
from genstudio.parity.mar_sample import RAMPS
from genstudio.parity.networks import from_tensors
from genstudio.samplers.draws import At, Draws, Use
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.recorded import Queue, RecordedDraws, Table
from genstudio.samplers.solve import Solved
from genstudio.samplers.speculate.aligned import Comparison, Ruling, log_density, log_kernel
from genstudio.samplers.speculate.continuous import ContinuousWalk
from genstudio.samplers.steps import Denoising, Fixed
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Done, Job, run


class Verification(NamedTuple):
    """What was ruled on, and how."""

    drafts_NC: Tensor
    draft: Solved
    target: Solved
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Watched(Comparison):
    """A comparison that keeps what it was asked."""

    seen: list[Verification] = field(default_factory=list)

    def judge(self, token_NC: Tensor, draft: Solved, target: Solved, at: At, draws: Draws) -> Ruling:
        ruling = Comparison.judge(self, token_NC, draft, target, at, draws)
        self.seen.append(Verification(token_NC, draft, target, ruling))
        return ruling


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """The comparison alone, then every run."""
    made = _alone(fixture)
    pair = {role: _network(fixture, role) for role in ("draft", "target")}
    tokenizer = mar_vae.filled(fixture.sibling("MAR KL-VAE"))
    for name, settings in fixture.meta["runs"].items():
        watched = Watched("official", settings["inner_temperature"], "batch")
        latents_BChw = _run(fixture, name, settings, pair, watched)
        named = {"latents": latents_BChw, "image": tokenizer.decode(latents_BChw), **_rulings(watched)}
        made |= {f"{name}.{what}": value for what, value in named.items()}
    return made


def _network(fixture: Fixture, role: str) -> MAR:
    numbers = {"norm_layer": fixture.meta["config"].get("norm_layer", ""), **fixture.meta["config"][role]}
    network = from_tensors(network_config(numbers), fixture.weights(f"{role}."))
    assert isinstance(network, MAR)
    return network


def _alone(fixture: Fixture) -> dict[str, Tensor]:
    """Acceptance and rejection with the Gaussians of the fixture."""
    x_NC = fixture.fed("proc.x")
    draft, target = (
        Solved(*(fixture.fed(f"proc.{law}_{part}") for part in ("mean", "std", "logstd_sum"))) for law in "qp"
    )
    comparison = Comparison("official", fixture.meta["config"]["proc_inner_temperature"], "batch")
    place_N = torch.arange(len(x_NC))
    draws = RecordedDraws(_rejection(fixture, "proc"))
    ruling = comparison.judge(x_NC, draft, target, At(place_N, place_N[:, None]), draws)
    draws.finish()
    made = {
        "accepted": ruling.accepted_N.long(),
        "alpha_at_x": comparison.chance(x_NC, draft, target),
        "p_pdf": log_density(x_NC, target).exp(),
        "q_pdf": log_density(x_NC, draft).exp(),
        "p_unnorm": log_kernel(x_NC, target, comparison.tau).exp(),
        "q_unnorm": log_kernel(x_NC, draft, comparison.tau).exp(),
        "prob": comparison.log_ratio(x_NC, draft, target).exp(),
        "sigma": comparison.log_spread(draft, target).exp(),
        "result": ruling.tokens_NC,
    }
    return {f"proc.{name}": value for name, value in made.items()}


def _run(
    fixture: Fixture, name: str, settings: dict[str, Any], pair: dict[str, MAR], watched: Watched
) -> Tensor:
    """The latents of one recorded run, walked."""
    order_BL, noise_BLTC = fixture.fed(f"{name}.orders"), fixture.fed(f"{name}.inter_noise")
    sources = {
        Use.ORDER: Queue(order_BL),
        Use.START: Table(fixture.fed(f"{name}.noise")),
        Use.STEP: Table(noise_BLTC.flip(2)),  # recorded by timestep, used from the noisiest
        **_rejection(fixture, name),
    }
    walk = ContinuousWalk(
        target=pair["target"],
        draft=pair["draft"],
        comparison=watched,
        window=settings["num_draft"],
        prefill=settings["ratio"],
    )
    recipe = Recipe(
        guidance=Guidance(cfg=settings["cfg"], ramp=RAMPS[settings["cfg_schedule"]]),
        steps=settings["num_iter"],
        head=Denoising(steps=Fixed(noise_BLTC.shape[2]), temperature=settings["temperature"]),
    )
    draws, config = RecordedDraws(sources), pair["target"].config
    job = Job(
        Given(fixture.fed("labels")),
        torch.arange(len(order_BL)),
        recipe,
        draws,
        lambda rows, capacity, _look: FullCache(config.cache_spec(rows, capacity, "float32"), "cpu"),
    )
    *_, done = run(walk, job)
    assert isinstance(done, Done)
    draws.finish()
    return done.codes.data[0]


def _rejection(fixture: Fixture, name: str) -> dict[Use, Queue | Table]:
    return {
        Use.ACCEPT: Queue(fixture.fed(f"{name}.u_accept")),
        Use.PROPOSAL: Queue(fixture.fed(f"{name}.rej_normal")),
        Use.RESIDUAL: Queue(fixture.fed(f"{name}.rej_uniform")),
    }


def _rulings(watched: Watched) -> dict[str, Tensor]:
    """All verifications of a run, one behind the other."""
    rows = [_ruled(watched, one) for one in watched.seen]
    made = {name: torch.cat([one[name] for one in rows]) for name in rows[0]}
    return made | {
        "rej_alpha": torch.cat([one.ruling.chance_TN.flatten() for one in watched.seen]),
        "verify_rows": torch.tensor([len(one.drafts_NC) for one in watched.seen]),
        "verify_tries": torch.tensor([len(one.ruling.chance_TN) for one in watched.seen]),
    }


def _ruled(watched: Watched, one: Verification) -> dict[str, Tensor]:
    laws = {"q": one.draft, "p": one.target}
    parts = {"mean": "x", "std": "std", "logstd_sum": "logstd_sum"}
    return {
        **{f"{law}_{part}": getattr(laws[law], its) for law in laws for part, its in parts.items()},
        "before": one.drafts_NC,
        "after": one.ruling.tokens_NC,
        "accepted": one.ruling.accepted_N.long(),
        "prob": watched.log_ratio(one.drafts_NC, one.draft, one.target).exp(),
        "sigma": watched.log_spread(one.draft, one.target).exp(),
    }
