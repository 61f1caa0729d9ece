"""Continuous speculative decoding of masked orders: windows, pre-filling, what a draft that agrees gives, and
a two-sample test of what it promises."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genstudio.samplers.masked import MaskedWalk, keep, look, made
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.speculate.account import Book
from genstudio.samplers.speculate.aligned import Comparison
from genstudio.samplers.speculate.continuous import ContinuousWalk, shared_steps
from genstudio.samplers.steps import Denoising, Fixed
from genstudio.samplers.values import Codes
from genstudio.samplers.walk import Step, run
from tests.samplers.speculate.continuous_toy import GUIDED, PLAIN, job, network, sampled
from tests.samplers.speculate.two_sample import energy_test

TARGET, DRAFT = network(0), network(1)
SEEDS = torch.arange(3)
COUNT, LEVEL = 500, 0.001
ONE_STEP = replace(PLAIN, head=Denoising(steps=Fixed(1)))  # without spreads of earlier steps
INFLATED = Comparison("official", tau=4200.0)  # a hundred times the usual one


def pair(**changed: object) -> ContinuousWalk:
    return ContinuousWalk(**{"target": TARGET, "draft": DRAFT, "prefill": 0.0, **changed})  # type: ignore[arg-type]


def latents(walk: MaskedWalk | ContinuousWalk, recipe: Recipe = PLAIN, seed_B: Tensor = SEEDS) -> Tensor:
    return sampled(walk, job(seed_B, recipe)).codes.data[0]


@pytest.mark.parametrize("recipe", [PLAIN, GUIDED])
def test_the_target_as_its_own_draft_makes_the_plain_pictures_unit_by_unit(recipe: Recipe) -> None:
    """Trajectories are aligned: the same noise by the same network is the same token."""
    done = sampled(pair(draft=TARGET, window=1), job(SEEDS, recipe))
    assert done.codes.data[0].equal(latents(MaskedWalk(TARGET), recipe))
    assert done.stats["acceptance"] == 1


def test_pre_filling_everything_is_plain_sampling() -> None:
    assert latents(pair(prefill=1.0)).equal(latents(MaskedWalk(TARGET)))


@torch.inference_mode()
def test_a_comparison_that_accepts_everything_leaves_the_drafts() -> None:
    """Behind the first unit, which is the target's."""
    done = sampled(pair(comparison=Comparison("corrected", tau=1e9)), job(SEEDS, ONE_STEP))
    assert done.stats["acceptance"] == 1
    state = MaskedWalk(TARGET).start(job(SEEDS, ONE_STEP))
    for unit, one in enumerate([TARGET, DRAFT, DRAFT, DRAFT]):
        state.unit, state.cond = unit, one.condition(state.job.given, null=False)
        seen = look(one, state, state.units[unit])
        keep(state, seen.place_Bm, made(one, state, seen).x)
    torch.testing.assert_close(done.codes.data[0], TARGET.latents(state.tokens_BLC))


@pytest.mark.parametrize(
    ("steps", "window", "prefill", "units"),
    [
        (10, 3, 0.05, [1, 3, 3, 3]),
        (8, 2, 0.15, [1, 1, 1, 2, 2, 1]),
        (7, 2, 0.0, [1, 2, 2, 2]),
        (4, 64, 0.0, [1, 3]),
        (4, 1, 0.5, [1, 1, 1, 1]),
        (1, 4, 0.0, [1]),
    ],
)
def test_windows_end_where_the_official_ones_do(
    steps: int, window: int, prefill: float, units: list[int]
) -> None:
    """At units whose number the window divides, and at the last one; floor(K prefill) + 1 units are the
    target's."""
    wide = {"side": 4}
    walk = pair(target=network(0, **wide), draft=network(1, **wide), window=window, prefill=prefill)
    state = walk.start(job(SEEDS, replace(PLAIN, steps=steps)))
    seen, before = list[int](), 0
    with torch.inference_mode():
        while not state.finished:
            walk.advance(state)
            seen.append(state.plain.unit - before)
            before = state.plain.unit
    assert seen == units and state.done == walk.total and state.passes == len(units)


def test_a_picture_is_the_same_in_any_batch() -> None:
    walk = pair(comparison=Comparison("official", tau=60.0), window=2)
    together = latents(walk, GUIDED)
    alone = torch.cat([latents(walk, GUIDED, seed_B) for seed_B in SEEDS.split(1)])
    torch.testing.assert_close(together, alone)


def test_previews_show_what_the_target_has_seen_and_progress_never_falls() -> None:
    done = [0]
    with torch.inference_mode():
        for step in run(pair(window=2), job(SEEDS)):
            if isinstance(step, Step) and step.done < step.total:
                known_BL = step.preview().known_BL
                assert known_BL is not None and (known_BL.sum(1) == step.done).all()
                done.append(step.done)
    assert done == sorted(done) and done[-1] == 3


def test_every_picture_says_how_its_tokens_came() -> None:
    book, seed_B = Book(), torch.arange(40)
    walk = pair(comparison=Comparison("official", tau=2000.0), window=2)
    stats = sampled(walk, job(seed_B, trace=book)).stats
    accounts = book.accounts()
    for account in accounts:
        assert account.passes == 3 and account.pass_L.bincount().tolist() == [1, 2, 1]
        assert (account.origin_L[account.pass_L == 0] == 0).all()
        assert (account.origin_L[account.pass_L > 0] > 0).all()
    share = sum(one.acceptance for one in accounts) / len(accounts)
    assert 0 < share < 1 and share == pytest.approx(stats["acceptance"], abs=1e-6)


def test_given_tokens_stand() -> None:
    known_hw = torch.tensor([[True, False], [False, True]])
    given = torch.randn(3, 2, 2, 2, generator=torch.manual_seed(8))
    prefix = Codes("latents", (given,), known_hw.view(1, 4).expand(3, -1))
    done = sampled(pair(), job(SEEDS, prefix=prefix)).codes.data[0]
    assert done[:, :, known_hw].equal(given[:, :, known_hw])


def test_a_draft_that_is_no_number_leaves_no_trace() -> None:
    broken = network(2)
    broken.mask_token.data.fill_(torch.nan)
    done = sampled(pair(draft=broken), job(SEEDS))
    assert done.codes.data[0].isfinite().all() and done.stats["acceptance"] == 0


def test_fewer_steps_of_the_head_share_the_noise_of_the_same_share_of_the_way() -> None:
    """The nearer their counts, the nearer the drafts."""

    def off(steps: int) -> float:
        walk = pair(draft=TARGET, comparison=Comparison("corrected", tau=1e9), window=1, head_steps=steps)
        plain = latents(MaskedWalk(TARGET), _of(20), torch.arange(50))
        return float((latents(walk, _of(20), torch.arange(50)) - plain).abs().mean())

    assert shared_steps(job(SEEDS, _of(21)), job(SEEDS, _of(6))) == (0, 4, 8, 12, 16)
    assert 0 < off(19) < off(10) < off(3)


def _of(steps: int) -> Recipe:
    return replace(PLAIN, head=Denoising(steps=Fixed(steps)))


@pytest.mark.parametrize(
    ("walk", "same"),
    [
        (MaskedWalk(TARGET), True),
        (pair(prefill=1.0), True),
        (pair(comparison=INFLATED), False),
        (pair(comparison=Comparison("corrected")), False),
    ],
    ids=["plain", "prefilled", "official", "corrected"],
)
def test_what_the_two_sample_test_says(walk: MaskedWalk | ContinuousWalk, same: bool) -> None:
    """500 pictures against 500 plain ones of other seeds, error rate 0.001: plain sampling passes,
    `official` with an inflated tau is refused, and so is `corrected`, whose label is therefore lossy."""
    plain, other = (
        latents(one, seed_B=seed_B).flatten(1)
        for one, seed_B in ((MaskedWalk(TARGET), torch.arange(COUNT)), (walk, torch.arange(COUNT) + 10**6))
    )
    assert (energy_test(plain, other).p > LEVEL) is same
