"""Keyed draws: pinned values, distributions, and the independence of batch and order.

Statistical tests use fixed keys, so they are deterministic; the error rate of each under the null hypothesis
is ALPHA. Each kind of test is also run on a known-wrong sampler, which it has to reject.
"""

from itertools import permutations

import pytest
import torch
from genstudio_kernels.keyed_hash import fold
from scipy import stats
from torch import Tensor

from genstudio.samplers.draws import At, Draws, KeyedDraws, Use

ALPHA = 1e-3
DRAWS: Draws = KeyedDraws()


def at(seeds: list[int], *places: list[int]) -> At:
    return At(torch.tensor(seeds), torch.tensor(places).reshape(len(seeds), -1))


def one(*place: int, seed: int = 0) -> At:
    return At(torch.tensor([seed]), torch.tensor([place], dtype=torch.int64))


def many(count: int) -> At:
    """Place 5 of the pictures 0..count-1."""
    return At(torch.arange(count), torch.full((count, 1), 5))


def test_values_are_pinned() -> None:
    """A change here makes every stored picture irreproducible: raise VERSION with it."""
    places = at([0, -1, 2**63 - 1, -(2**63)], [0, 0], [3, 1], [-7, 2**40], [1, 1])
    uniform = [5709445, 13507469, 390655, 16505849, 16262625, 16485231, 9939773, 4842675]
    normal = [-0.0359624, -0.0154764, 1.2261146, 0.0686483, 0.2673279, -1.2105805, -0.129285, 0.4728054]
    exponential = [3.0791099, 0.7369376, 0.3586145, 0.6491855, 0.2781203, 2.4912348, 0.4242702, 1.1908499]
    assert DRAWS.uniform(Use.TOKEN, places, (2,)).flatten().mul(2**24).tolist() == uniform
    torch.testing.assert_close(DRAWS.normal(Use.STEP, places, (2,)).flatten(), torch.tensor(normal))
    torch.testing.assert_close(
        DRAWS.exponential(Use.SMOOTH, places, (2,)).flatten(), torch.tensor(exponential)
    )
    assert DRAWS.below(Use.DRAFT, places, 1000).tolist() == [963, 349, 600, 714]
    assert DRAWS.order(Use.ORDER, torch.tensor([17]), 4).tolist() == [[0, 3, 1, 2]]


def test_the_numbers_of_the_uses_are_frozen() -> None:
    assert {use.name: int(use) for use in Use} == {
        "TOKEN": 1,
        "SMOOTH": 2,
        "ORDER": 3,
        "START": 4,
        "STEP": 5,
        "ACCEPT": 6,
        "RESIDUAL": 7,
        "DRAFT": 8,
        "PROPOSAL": 9,
        "CONFIDENCE": 10,
        "PIXELS": 11,
        "POSTERIOR": 12,
        "LABEL": 13,
        "DROP": 32,
        "TIME": 33,
        "NOISE": 34,
        "MASK": 35,
        "FLIP": 36,
        "BATCH": 37,
        "INIT": 38,
        "CHECK": 39,
    }


def follows(sample: Tensor, law: str) -> bool:
    """Kolmogorov-Smirnov at ALPHA."""
    return bool(stats.kstest(sample.flatten().double().numpy(), law).pvalue > ALPHA)


def test_distributions() -> None:
    shape = (300, 7)
    assert follows(DRAWS.uniform(Use.TOKEN, many(100), shape), "uniform")
    assert follows(DRAWS.normal(Use.TOKEN, many(100), shape), "norm")
    assert follows(DRAWS.exponential(Use.TOKEN, many(100), shape), "expon")
    below = DRAWS.below(Use.TOKEN, many(100_000), 7).bincount(minlength=7)
    assert stats.chisquare(below.numpy()).pvalue > ALPHA


def test_wrong_distributions_are_rejected() -> None:
    uniform = DRAWS.uniform(Use.TOKEN, many(100), (300, 7))
    assert not follows(uniform**1.02, "uniform")
    assert not follows(DRAWS.normal(Use.TOKEN, many(100), (300, 7)) * 1.02, "norm")
    assert not follows(DRAWS.exponential(Use.TOKEN, many(100), (300, 7)) * 1.02, "expon")


def test_uniforms_stay_inside_the_open_interval() -> None:
    uniform = DRAWS.uniform(Use.TIME, many(1000), (2000,))
    assert uniform.dtype == torch.float32
    assert 0 < float(uniform.min()) < 1e-6 and 1 - 1e-6 < float(uniform.max()) < 1


def independent(first: Tensor, second: Tensor) -> bool:
    """Chi-square at ALPHA on a 16 x 16 table of pairs of uniforms."""
    cell = (first.flatten() * 16).long() * 16 + (second.flatten() * 16).long()
    return bool(stats.chisquare(cell.bincount(minlength=256).numpy()).pvalue > ALPHA)


def test_neighbouring_keys_are_independent() -> None:
    elements = DRAWS.uniform(Use.TOKEN, many(2), (200_000,))
    assert independent(elements[:, :-1], elements[:, 1:])
    assert independent(elements[0], elements[1])
    places = DRAWS.uniform(Use.TOKEN, At(torch.zeros(200_000).long(), torch.arange(200_000)[:, None]))
    assert independent(places[:-1], places[1:])
    seeds = [DRAWS.uniform(use, many(200_000)) for use in (Use.TOKEN, Use.SMOOTH)]
    assert independent(seeds[0][:-1], seeds[0][1:])
    assert independent(*seeds)
    longer = [
        DRAWS.uniform(Use.TOKEN, At(torch.arange(200_000), torch.zeros(200_000, k).long())) for k in (1, 2)
    ]
    assert independent(*longer)


def test_the_lattice_of_a_plain_counter_is_rejected() -> None:
    """One multiplication of a counter gives well spread but dependent numbers."""
    share = (torch.arange(200_000) * (0x9E3779B97F4A7C15 - 2**64) >> 41 & 0x7FFFFF) / 2**23
    assert follows(share, "uniform") and not independent(share[:-1], share[1:])


@pytest.mark.parametrize("draw", ["uniform", "normal", "exponential"])
def test_values_depend_on_the_key_alone(draw: str) -> None:
    whole = At(torch.arange(-3, 10), torch.arange(26).reshape(13, 2))
    rows = torch.tensor([12, 0, 5])
    method = getattr(DRAWS, draw)
    everything = method(Use.START, whole, (3, 37))
    assert torch.equal(
        method(Use.START, At(whole.seed_R[rows], whole.index_RK[rows]), (3, 37)), everything[rows]
    )
    assert torch.equal(method(Use.START, whole, (50,)), everything.flatten(1)[:, :50])


def test_picks_depend_on_the_row_alone() -> None:
    p_RV = torch.rand(13, 40, generator=torch.Generator().manual_seed(0))
    p_RV[:6, 10:] = 0
    whole = many(13)
    picks = DRAWS.pick(Use.TOKEN, whole, p_RV)
    for row in range(13):
        alone = At(whole.seed_R[row : row + 1], whole.index_RK[row : row + 1])
        assert DRAWS.pick(Use.TOKEN, alone, p_RV[row : row + 1]) == picks[row]


@pytest.mark.parametrize("kept", [3, 17, 50])
def test_a_pick_is_the_race_of_noise_keyed_by_category(kept: int) -> None:
    """Few categories (noise for the kept ones alone) or all of them: the same winner."""
    p_RV = torch.rand(500, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p_RV[:, kept:] = 0
    p_RV = p_RV[:, torch.randperm(50, generator=torch.Generator().manual_seed(2))]
    noise_RV = DRAWS.exponential(Use.TOKEN, many(500), (50,))
    picks = DRAWS.pick(Use.TOKEN, many(500), p_RV)
    assert torch.equal(picks, (p_RV / noise_RV).argmax(-1))
    assert bool((p_RV.gather(1, picks[:, None]) > 0).all())
    assert torch.equal(DRAWS.pick(Use.TOKEN, many(500), p_RV * 3.0), picks)


def picked_shares_fit(p: Tensor, counts: Tensor) -> bool:
    """Chi-square at ALPHA; categories of probability 0 must not occur."""
    kept = p > 0
    share = p.double() / p.double().sum()
    expected = share[kept] * counts.sum()
    return not counts[~kept].any() and bool(stats.chisquare(counts[kept], expected).pvalue > ALPHA)


@pytest.mark.parametrize("p", [[0.5, 0.3, 0.2, 0.0], [0.002, 0.0, 0.0, 0.0, 0.003, 0.995], [1e-30, 2e-30]])
def test_picks_have_the_given_probabilities(p: list[float]) -> None:
    p_V = torch.tensor(p)
    picks = DRAWS.pick(Use.TOKEN, many(50_000), p_V.expand(50_000, -1))
    assert picked_shares_fit(p_V, picks.bincount(minlength=len(p)))


def test_a_race_with_the_wrong_noise_is_rejected() -> None:
    """argmax(p u) looks like a race, but favours likely categories."""
    p_V = torch.tensor([0.5, 0.3, 0.2])
    picks = (p_V * DRAWS.uniform(Use.TOKEN, many(50_000), (3,))).argmax(-1)
    assert not picked_shares_fit(p_V, picks.bincount(minlength=3))


def small_noise_is_fine(noise: Tensor) -> bool:
    """Where Exp(1) noise is small its law is uniform, at every scale: Kolmogorov-Smirnov on the part of the
    small values that is finer than 2^-23."""
    return follows((noise[noise < 2**-17].double() * 2**24) % 1, "uniform")


def test_rare_categories_are_not_lost() -> None:
    """A category of 1e-8 wins by noise of that size, so noise has to be right there: 23 bits are not."""
    assert small_noise_is_fine(DRAWS.exponential(Use.TOKEN, many(64), (2**17,)))
    assert not small_noise_is_fine(-torch.log1p(-DRAWS.uniform(Use.TOKEN, many(64), (2**17,))))


def permutation_counts(order_Bn: Tensor) -> list[int]:
    seen = [tuple(row) for row in order_Bn.tolist()]
    return [seen.count(each) for each in permutations(range(4))]


def test_orders_are_uniform_permutations() -> None:
    counts = permutation_counts(DRAWS.order(Use.ORDER, torch.arange(24_000), 4))
    assert sum(counts) == 24_000
    assert stats.chisquare(counts).pvalue > ALPHA


def test_a_naive_shuffle_is_rejected() -> None:
    """Swapping every place with any place does not give uniform permutations."""
    swap_Bn = (DRAWS.uniform(Use.ORDER, many(24_000), (4,)) * 4).long()
    rows = torch.arange(24_000)
    order_Bn = torch.arange(4).repeat(24_000, 1)
    for i in range(4):
        j = swap_Bn[:, i]
        order_Bn[rows, i], order_Bn[rows, j] = order_Bn[rows, j], order_Bn[rows, i].clone()
    counts = permutation_counts(order_Bn)
    assert sum(counts) == 24_000
    assert stats.chisquare(counts).pvalue < ALPHA


def test_orders_of_two_lengths_are_unrelated() -> None:
    seed_B = torch.arange(2000)
    first = DRAWS.order(Use.ORDER, seed_B, 4)
    longer = DRAWS.order(Use.ORDER, seed_B, 5)
    nested = longer[longer != 4].view(2000, 4)
    assert stats.binomtest(int((first == nested).all(-1).sum()), 2000, 1 / 24).pvalue > ALPHA


def test_grid_asks_sample_by_sample() -> None:
    places = At.grid(torch.tensor([7, 9]), torch.tensor([[3], [4], [5]]))
    assert places.seed_R.tolist() == [7, 7, 7, 9, 9, 9]
    assert places.index_RK[:, 0].tolist() == [3, 4, 5, 3, 4, 5]


def test_folding_does_not_change_its_argument() -> None:
    state = torch.tensor([5])
    fold(state, 3)
    assert state.tolist() == [5]
