"""Emitters for discrete codes: hidden states become ids, or mixtures of code vectors.

Guidance, filters and the draw stand here once, whatever the walk. Guided logits are u + w (c - u).
Shapes: B pictures, R rows (B, or 2B = [given | null]), n slots of a unit, V codes, C code width.
"""

from typing import NamedTuple, Protocol

import torch
from einops import rearrange
from torch import Tensor

from genstudio.samplers import filters
from genstudio.samplers.draws import At, Use
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Cond, Unit
from genstudio.samplers.walk import Job
from genstudio.tokenizers.protocol import Quantizer

CPU_VALUES, GPU_VALUES = 1 << 20, 1 << 26  # of logits that are filtered and drawn from together


class Head(Protocol):
    """The part of a network that an emitter needs."""

    def logits(self, h_RnD: Tensor, cond: Cond) -> Tensor: ...


class Emitted(NamedTuple):
    """What a unit became: code vectors, and their ids where ids name them."""

    vectors_BnC: Tensor
    ids_Bn: Tensor | None


def guided_logits(head: Head, h_RnD: Tensor, cond: Cond, weight: float | Tensor, job: Job) -> Tensor:
    """Logits [B,n,V] after guidance, one weight for all slots or one for each ([B,n,1]). With weight 1 the
    null rows have no say, and if that is the weight of all slots their head is not run."""
    batch = job.batch
    if h_RnD.shape[0] == batch or (not isinstance(weight, Tensor) and weight == 1 and not job.always_null):
        logits_BnV = head.logits(h_RnD[:batch], cond.take(slice(0, batch)))
    else:
        given_BnV, null_BnV = head.logits(h_RnD, cond).chunk(2)
        logits_BnV = _mixed(given_BnV, null_BnV, weight)
    if job.trace is not None:
        job.trace("guided_logits", logits_BnV)
    return logits_BnV


def _mixed(given_BnV: Tensor, null_BnV: Tensor, weight: float | Tensor) -> Tensor:
    if isinstance(weight, Tensor):
        mixed_BnV = torch.addcmul(null_BnV, weight.to(null_BnV.dtype), given_BnV - null_BnV)
        return torch.where(weight == 1, given_BnV, mixed_BnV)
    return null_BnV.add(given_BnV - null_BnV, alpha=weight)


def law(logits: Tensor, recipe: Recipe) -> Tensor:
    """The distribution that ids are drawn from, after all filters: any leading axes, V categories last."""
    return filters.apply(recipe.filters, logits).softmax(dim=-1)


def pick(logits_BnV: Tensor, at: At, job: Job) -> Tensor:
    """One id per slot, drawn from its law: [B,n]. Rows go in pieces, as the race needs noise for all ids."""
    logits_RV = rearrange(logits_BnV, "B n V -> (B n) V")
    rows = max(1, (GPU_VALUES if logits_RV.is_cuda else CPU_VALUES) // logits_RV.shape[-1])
    pieces = zip(*(one.split(rows) for one in (logits_RV, *at)), strict=True)
    ids = [job.draws.pick(Use.TOKEN, At(*place), law(logits, job.recipe)) for logits, *place in pieces]
    return torch.cat(ids).view(job.batch, -1)


class Picks:
    """One id per slot, and its code vector."""

    def emit(self, logits_BnV: Tensor, unit: Unit, table: Quantizer, job: Job) -> Emitted:
        """Ids [B,n] and their code vectors."""
        ids_Bn = pick(logits_BnV, places(unit, job), job)
        return Emitted(table.lookup(ids_Bn), ids_Bn)


class Soft:
    """VAR's `more_smooth`: a Gumbel-softmax mixture of code vectors, no ids (var.md section 5, step 5).

    tau = max(0.27 (1 - 0.95 p), 0.005); the filtered logits are sharpened by 1 + p first.
    """

    def emit(self, logits_BnV: Tensor, unit: Unit, table: Quantizer, job: Job) -> Emitted:
        """Code vectors [B,n,C] that no id names."""
        kept_BnV = filters.apply(job.recipe.filters, logits_BnV)
        noise_RV = job.draws.exponential(Use.SMOOTH, places(unit, job), (kept_BnV.shape[-1],))
        gumbel_BnV = -torch.log(noise_RV).view_as(kept_BnV)
        tau = max(0.27 * (1 - 0.95 * unit.progress), 0.005)
        mix_BnV = ((kept_BnV * (1 + unit.progress) + gumbel_BnV) / tau).softmax(dim=-1)
        return Emitted(mix_BnV.to(table.table_VC.dtype) @ table.table_VC, None)


def places(unit: Unit, job: Job) -> At:
    """Addresses of a unit's codes in every picture, R = B n rows."""
    made_n1 = torch.arange(unit.made.start, unit.made.stop, device=job.seed_B.device)[:, None]
    return At.grid(job.seed_B, made_n1)
