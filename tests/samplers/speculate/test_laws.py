"""Judges emit the target's law: enumerated over all drafts, and measured from outside (see `blackbox`).

Lossless judges are held to a total variation of 1e-6; known-wrong rules, given to the same test, have to miss
it by far. V codes, R rows.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genstudio.samplers import filters
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.recipe import Temperature, TopK, TopP
from genstudio.samplers.speculate import kseq
from genstudio.samplers.speculate.judges import Race, Speculative
from genstudio.samplers.speculate.kseq import KSeq, acceptance_bound
from genstudio.samplers.speculate.proposal import Proposal, Standing
from genstudio.samplers.speculate.relaxed import GreedyRelaxed, Relaxation, Relaxed, unrelaxed
from tests.samplers.speculate.blackbox import (
    chosen,
    distance,
    drafts,
    emitted_law,
    proposal,
    random_law,
    threshold,
)

LOSSLESS = 1e-6
WRONG = 1e-2
SEEDS = range(4)


def laws(codes: int, seed: int) -> tuple[Tensor, Tensor]:
    """p of the target and q of the draft, each with codes that the other never has."""
    return random_law(codes, seed), random_law(codes, 100 + seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_draft_judged_by_sjds_rule(seed: int) -> None:
    p_V, q_V = laws(8, seed)
    assert distance(emitted_law(Speculative(), p_V, *drafts(q_V, 1, True)), p_V) < LOSSLESS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("draft", [0, 3, 7])
def test_a_copied_draft_has_a_one_hot_law(seed: int, draft: int) -> None:
    p_V = random_law(8, seed)
    assert distance(emitted_law(Speculative(), p_V, *chosen([draft])), p_V) < LOSSLESS


def test_a_copied_draft_taken_for_a_drawn_one_is_wrong() -> None:
    """q = 1/V accepts almost everything; it is the law of drafts that are drawn from all codes alike."""
    p_V, even_V = random_law(8, 1), torch.full((8,), 1 / 8, dtype=torch.float64)
    copied = proposal(torch.tensor([[3]]), even_V[None, None])
    assert distance(emitted_law(Speculative(), p_V, copied, torch.ones(1).double()), p_V) > WRONG
    assert distance(emitted_law(Speculative(), p_V, *drafts(even_V, 1, True)), p_V) < LOSSLESS


def test_a_residual_filtered_again_by_top_p_is_wrong_and_labelled_so() -> None:
    """It is wrong for some laws, and never by top-k, whose codes a residual cannot outnumber."""
    official = (TopK(6), TopP(0.8))
    off = []
    for seed in SEEDS:
        p_V = filters.apply(official, random_law(8, seed, sharpness=0.5).log()).softmax(-1)
        rows = drafts(random_law(8, 100 + seed), 1, True)
        off.append(distance(emitted_law(Speculative(official), p_V, *rows), p_V))
        assert distance(emitted_law(Speculative(official[:1]), p_V, *rows), p_V) < LOSSLESS
    assert max(off) > WRONG
    assert Speculative(official).exactness == Exactness.LOSSY
    assert Speculative((Temperature(0.9),)).exactness == Exactness.LOSSY
    assert Speculative(official[:1]).exactness == Speculative().exactness == Exactness.SAME_DISTRIBUTION


def test_a_tree_with_branches_is_no_window() -> None:
    with pytest.raises(ValueError, match="no branches"):
        emitted_law(Speculative(), random_law(8, 0), *chosen([1, 2]))


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_k_drawn_drafts_judged_by_spectr(k: int, seed: int) -> None:
    p_V, q_V = laws(5, seed)
    assert distance(emitted_law(KSeq(k), p_V, *drafts(q_V, k, True)), p_V) < LOSSLESS


def test_spectr_without_its_division_factor_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kseq, "smallest_rho", lambda p_RV, q_RV, k_R: torch.ones(len(p_RV)).double())
    p_V, q_V = laws(5, 0)
    assert distance(emitted_law(KSeq(4), p_V, *drafts(q_V, 4, True)), p_V) > WRONG
    assert distance(emitted_law(KSeq(1), p_V, *drafts(q_V, 1, True)), p_V) < LOSSLESS


@pytest.mark.parametrize("seed", SEEDS)
def test_one_draft_of_spectr_is_speculative_sampling(seed: int) -> None:
    p_V, q_V = laws(8, seed)
    rows, _ = drafts(q_V, 1, True)
    p_RmV = p_V.expand(8, 2, -1)
    torch.testing.assert_close(
        threshold(KSeq(1), p_RmV, rows, 0), threshold(Speculative(), p_RmV, rows, 0), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_rho_is_the_smallest_that_is_exact(seed: int) -> None:
    p_V, q_V = laws(50, seed)
    for k in (2, 4, 8):
        rho = kseq.smallest_rho(p_V[None], q_V[None], torch.tensor([k]))

        def excess(rho: Tensor, k: int = k) -> Tensor:
            beta = kseq.taken(p_V[None], q_V[None], rho).sum(-1)
            return kseq.accepted_share(beta, torch.tensor(k)) - rho * beta

        assert 1 <= float(rho) <= k
        assert float(excess(rho)) <= 0
        assert float(rho) == 1 or float(excess(rho - 1e-4)) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_acceptance_grows_with_k_and_stays_below_its_bound(seed: int) -> None:
    p_V, q_V = laws(50, seed)
    shares, bounds = [], []
    for k in (1, 2, 4, 8):
        k_R = torch.tensor([k])
        beta_R = kseq.taken(p_V[None], q_V[None], kseq.smallest_rho(p_V[None], q_V[None], k_R)).sum(-1)
        shares.append(float(kseq.accepted_share(beta_R, k_R)))
        bounds.append(float(acceptance_bound(p_V[None], q_V[None], k)))
    assert all(before < after for before, after in pairwise(shares))
    assert all(0.85 * bound < share <= bound + 1e-9 for share, bound in zip(shares, bounds, strict=True))
    assert shares[0] == pytest.approx(bounds[0])


@pytest.mark.parametrize("residual", ["proven", "official"])
@pytest.mark.parametrize("seed", SEEDS)
def test_lantern_without_neighbours_is_lossless(residual: str, seed: int) -> None:
    """EAGLE-2: drafts that are chosen, and drafts that are drawn without replacement."""
    judge = Relaxed(unrelaxed(6, "cpu"), residual)  # type: ignore[arg-type]
    assert judge.exactness == Exactness.SAME_DISTRIBUTION
    p_V, q_V = laws(6, seed)
    assert distance(emitted_law(judge, p_V, *chosen([4, 0, 2])), p_V) < LOSSLESS
    q_V = q_V + 0.01
    assert distance(emitted_law(judge, p_V, *drafts(q_V / q_V.sum(), 3, False)), p_V) < LOSSLESS


def relaxation(codes: int, k: int, delta: float, seed: int = 0) -> Relaxation:
    order_VV = torch.rand(codes, codes, generator=torch.Generator().manual_seed(seed))
    return Relaxation(order_VV.fill_diagonal_(2).argsort(-1)[:, :-1].int(), k, delta)


@pytest.mark.parametrize("delta", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("seed", SEEDS)
def test_lanterns_law_stays_within_delta_of_the_target(delta: float, seed: int) -> None:
    """delta for a chosen draft, and as much again for each that is tested behind it."""
    p_V = random_law(12, seed, sharpness=0.7)
    judge = Relaxed(relaxation(12, 8, delta, seed))
    assert judge.exactness == Exactness.LOSSY
    moved = [distance(emitted_law(judge, p_V, *chosen([draft])), p_V) for draft in range(6)]
    assert 0 < max(moved) <= delta + LOSSLESS
    assert distance(emitted_law(judge, p_V, *chosen([3, 0, 7])), p_V) <= 3 * delta


@pytest.mark.parametrize("seed", SEEDS)
def test_lanterns_lambda_bounds_by_the_drafts_own_mass(seed: int) -> None:
    p_V = random_law(12, seed, sharpness=0.7)
    judge = Relaxed(relaxation(12, 8, 3.0, seed))
    for draft in range(12):
        moved = distance(emitted_law(judge, p_V, *chosen([draft])), p_V)
        assert moved <= 2 * float(p_V[draft]) + LOSSLESS


def test_lanterns_official_residual_leaves_the_bound() -> None:
    """It takes all k + 1 neighbours away, included or not."""
    worst = 0.0
    for seed in range(3):
        p_V = random_law(12, seed, sharpness=0.7)
        judge = Relaxed(relaxation(12, 8, 0.05, seed), "official")
        worst = max(worst, *(distance(emitted_law(judge, p_V, *chosen([x])), p_V) for x in range(6)))
    assert worst > 0.05 + WRONG


def test_the_race_accepts_what_the_plain_sampler_would_draw() -> None:
    p_V, rows = random_law(8, 0), 400
    draws = KeyedDraws()
    standing = Standing(torch.arange(rows), torch.full((rows,), 3), torch.zeros(rows).long())
    p_RmV = p_V.expand(rows, 3, -1)

    def plain(place: int) -> Tensor:
        at = At(standing.seed_R, torch.full((rows, 1), place))
        return draws.pick(Use.TOKEN, at, p_RmV[:, 0])

    ids_Rm = torch.stack([plain(2), plain(3), torch.arange(rows) % 8], dim=1)
    verdict = Race().judge(p_RmV, Proposal.window(ids_Rm), draws, standing)
    right_R = ids_Rm[:, 2] == plain(4)
    assert verdict.accepted_R.equal(torch.where(right_R, 2, 1))
    assert verdict.emitted(ids_Rm)[:, :2].equal(torch.stack([plain(3), plain(4)], dim=1))
    assert verdict.next_R.equal(torch.where(right_R, plain(5), plain(4)))


def test_greedy_relaxation_accepts_the_draft_whose_neighbours_lift_it_to_the_top() -> None:
    p_V = torch.tensor([0.1, 0.35, 0.3, 0.25])
    nearest_VK = torch.tensor([[3, 2, 1], [0, 2, 3], [3, 0, 1], [2, 0, 1]])
    standing = Standing(*(torch.ones(1).long() for _ in range(3)))
    for delta, accepted in ((0.2, 0), (0.26, 1)):
        verdict = GreedyRelaxed(Relaxation(nearest_VK, 2, delta)).judge(
            p_V.expand(1, 2, -1), chosen([0])[0], KeyedDraws(), standing
        )
        assert verdict.accepted_R.item() == accepted and verdict.next_R.item() == 1
