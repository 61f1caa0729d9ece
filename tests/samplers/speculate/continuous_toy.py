"""Pairs of tiny MAR networks: random encoders and decoders, and heads that denoise exactly.

A random head is no denoiser, and its chains run away. The head here knows its law: tokens are normal around a
mean that the decoder's state says, so that they depend on each other as in a trained network.
N tokens, C channels, D width of the condition, S steps.
"""

from dataclasses import replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from genstudio.cache.full import FullCache
from genstudio.generators.mar import MAR
from genstudio.samplers.diffusion import cosine_abar
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.guidance import Constant, Guidance
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import Denoising, Fixed
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Done, Job, Walk, run
from tests.releases import tiny

CONFIG: Final = replace(
    tiny.MASKED,
    side=2,
    code_width=2,
    depth=1,
    width=16,
    heads=2,
    decoder_depth=1,
    decoder_width=16,
    decoder_heads=2,
)
SPREAD: Final = 0.3  # deviation of a token around its mean
PLAIN: Final = Recipe(steps=4, head=Denoising(steps=Fixed(10)))
GUIDED: Final = replace(PLAIN, guidance=Guidance(cfg=2.0, ramp=Constant()))


class Ready(NamedTuple):
    mean_NC: Tensor
    share_NC: Tensor
    abar_S: Tensor


class NormalHead(nn.Module):
    """The best prediction of the noise in tokens that are normal around tanh of a part of the condition;
    another part says how much of the range of the variance is used."""

    weight_DC: Tensor

    def __init__(self, seed: int, width: int, channels: int) -> None:
        super().__init__()
        weight_DC = torch.randn(width, 2 * channels, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("weight_DC", weight_DC / width**0.5)

    def prepare(self, z_ND: Tensor, time_S: Tensor) -> Ready:
        mean_NC, share_NC = torch.tanh(z_ND @ self.weight_DC).chunk(2, dim=1)
        return Ready(2 * mean_NC, share_NC, cosine_abar().to(z_ND)[time_S.long()])

    def forward(self, x_NC: Tensor, step: int, ready: Ready) -> Tensor:
        abar = ready.abar_S[step]
        off_NC = x_NC - abar.sqrt() * ready.mean_NC
        noise_NC = (1 - abar).sqrt() * off_NC / (abar * SPREAD**2 + 1 - abar)
        return torch.cat([noise_NC, ready.share_NC], dim=1)


def network(seed: int, **changed: Any) -> MAR:
    """Networks of different seeds have nothing in common."""
    built = tiny.network(replace(CONFIG, **changed), seed)
    assert isinstance(built, MAR)
    built.head = NormalHead(seed, built.config.decoder_width, built.channels)  # type: ignore[assignment]
    return built.double()


def job(seed_B: Tensor, recipe: Recipe = PLAIN, **more: Any) -> Job:
    """Pictures of class 0."""

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(CONFIG.cache_spec(rows, capacity, "float64", look), "cpu")

    given = Given(torch.zeros_like(seed_B), prefix=more.pop("prefix", None))
    return Job(given, seed_B, recipe, KeyedDraws(), cache, **more)


@torch.inference_mode()
def sampled(walk: Walk[Any], asked: Job) -> Done:
    """The end of a walk."""
    *_, done = run(walk, asked)
    assert isinstance(done, Done)
    return done
