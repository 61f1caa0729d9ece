"""The emitter for continuous codes: what a network says of a place becomes a token by a chain of denoising.

Guidance acts inside of the field, on what the head predicts; the share of a learned variance stays the
condition's own (MAR, Hi-MAR). The state has a row for every token and none for null rows, which see it too.
Noise is drawn by place and by step, so that a token is the same whatever is made beside it.
Shapes: B pictures, R rows (B, or 2B = [given | null]), m places, N = B m tokens, C channels, D width of what
the network says, S steps of a chain.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from einops import rearrange
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.samplers.chains import Chain, chain_of
from genstudio.samplers.draws import At, Use
from genstudio.samplers.solve import Field, Solved, solve
from genstudio.samplers.steps import Denoising
from genstudio.samplers.walk import Job


class Head(Protocol):
    """Predicts noise or velocity of tokens, each by itself, under conditions that are prepared once."""

    def prepare(self, z_ND: Tensor, time_S: Tensor) -> Any: ...
    def __call__(self, x_NC: Tensor, step: int, ready: Any) -> Tensor: ...


def denoise(
    head: Head,
    z_RmD: Tensor,
    channels: int,
    chain: Chain,
    weight: float,
    at: At,
    job: Job,
    shared: Sequence[int] | None = None,
) -> Solved:
    """Tokens [N, channels] at the places `at`, picture by picture, under the recipe's temperature. Step s has
    noise of its own, or that of step `shared[s]` of another chain."""
    start_NC = job.draws.normal(Use.START, at, (channels,))
    field = guided(head, rearrange(z_RmD, "R m D -> (R m) D"), len(start_NC), chain, weight)

    def noise(step: int) -> Tensor:
        there = at.within(step if shared is None else shared[step])
        return job.draws.normal(Use.STEP, there, (channels,))

    return solve(field, chain, start_NC, noise, denoising(job).temperature, trace=job.trace)


def guided(head: Head, z_ND: Tensor, tokens: int, chain: Chain, weight: float) -> Field:
    """u + w (c - u) of what the head predicts, where null rows follow those of the condition in z; the
    condition alone where none do. Channels behind those of the state are shares of the variance."""
    ready = head.prepare(z_ND, chain.time_S.to(z_ND.device))
    copies = len(z_ND) // tokens

    def field(x_NC: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        channels = x_NC.shape[-1]
        said = head(x_NC.to(z_ND.dtype).repeat(copies, 1), step, ready).to(x_NC.dtype)
        given_NC, null_NC = said[:tokens, :channels], said[-tokens:, :channels]
        y_NC = given_NC if copies == 1 else torch.lerp(null_NC, given_NC, weight)
        return y_NC, (said[:tokens, channels:] + 1) / 2 if said.shape[-1] > channels else None

    return field


def denoising(job: Job) -> Denoising:
    """How the recipe denoises. Raises GenstudioError for a recipe of models of ids."""
    if job.recipe.head is None:
        raise GenstudioError(
            "The recipe does not say how tokens are denoised.", "Give its release.json a recipe.head."
        )
    return job.recipe.head


def chain_for(unit: int, units: int, job: Job) -> Chain:
    """The chain by which unit `unit` of so many is denoised."""
    head = denoising(job)
    return chain_of(head.chain, head.steps.count(unit, units))
