"""Whole runs of the draft-verify loop on chains whose law is enumerated.

Every test is Pearson's chi-square over 20,000 pictures with fixed keys; its error rate, if the sampler is
right, is ALPHA. The same test has to reject samplers that are known to be wrong.
"""

import pytest
import torch

from genstudio.samplers.recipe import Recipe, Temperature, TopK, TopP
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.speculate import kseq, proposers
from genstudio.samplers.speculate.draft_model import DraftModel
from genstudio.samplers.speculate.judges import Race, Speculative
from genstudio.samplers.speculate.kseq import KSeq
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.speculate.proposal import Judge
from genstudio.samplers.speculate.proposers import Jacobi, Proposer, Scheme
from genstudio.samplers.speculate.relaxed import Relaxation, Relaxed, unrelaxed
from tests.samplers.speculate.toy import CODES, Chain, follows, no_cache, sampled

ALPHA = 1e-3
PICTURES = 20_000
TARGET = Chain(1)
FILTERED = Recipe(filters=(Temperature(0.9), TopK(3), TopP(0.9)))
SCHEMES: list[Scheme] = ["random", "repeat_horizon", "sample_horizon"]


def jacobi(scheme: Scheme = "repeat_horizon", window: int = 3) -> Jacobi:
    return Jacobi(codes=CODES, line=2, window=window, scheme=scheme)


def drafting(count: int, length: int = 3) -> DraftModel:
    """A draft that knows little of the target."""
    return DraftModel(trunk=Chain(2), cache=no_cache, length=length, count=count)


def right(proposer: Proposer, judge: Judge, recipe: Recipe = Recipe()) -> bool:
    ids_BL = sampled(SpeculativeWalk(TARGET, proposer, judge), recipe, PICTURES)
    return follows(ids_BL, TARGET.law(recipe), ALPHA)


@pytest.mark.parametrize("recipe", [Recipe(), FILTERED])
def test_the_plain_walk(recipe: Recipe) -> None:
    assert follows(sampled(SequenceWalk(TARGET), recipe, PICTURES), TARGET.law(recipe), ALPHA)


@pytest.mark.parametrize("recipe", [Recipe(), FILTERED])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_sjd(scheme: Scheme, recipe: Recipe) -> None:
    assert right(jacobi(scheme), Speculative(), recipe)


def test_sjd_with_q_of_copied_drafts_taken_as_even_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def even(ids: torch.Tensor, codes: int) -> torch.Tensor:
        return torch.full((*ids.shape, codes), 1 / codes).double()

    monkeypatch.setattr(proposers.F, "one_hot", even)
    assert not right(jacobi(), Speculative())


def test_sjd_with_the_official_residual_is_rejected() -> None:
    assert not right(jacobi(), Speculative(FILTERED.filters), FILTERED)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("recipe", [Recipe(), FILTERED])
def test_spectr(k: int, recipe: Recipe) -> None:
    assert right(drafting(k), KSeq(k), recipe)


def test_spectr_without_its_division_factor_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kseq, "smallest_rho", lambda p_RV, q_RV, k_R: torch.ones(len(p_RV)).double())
    assert not right(drafting(4), KSeq(4))


def test_a_draft_network_judged_by_speculative_sampling() -> None:
    assert right(drafting(1), Speculative())
    assert right(drafting(1), Relaxed(unrelaxed(CODES, "cpu")))


def test_lantern_is_lossy_and_seen_to_be() -> None:
    nearest_VK = torch.tensor([[1, 2, 3], [0, 3, 2], [3, 0, 1], [2, 1, 0]])
    assert not right(drafting(1), Relaxed(Relaxation(nearest_VK, 3, 0.5)))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("window", [2, 3, 4, 16])
def test_the_exact_race_makes_the_plain_walks_pictures(scheme: Scheme, window: int) -> None:
    walk = SpeculativeWalk(TARGET, jacobi(scheme, window), Race())
    assert sampled(walk, FILTERED, 500).equal(sampled(SequenceWalk(TARGET), FILTERED, 500))


def test_the_exact_race_takes_any_draft() -> None:
    for coupled in (False, True):
        proposer = DraftModel(trunk=Chain(2), cache=no_cache, length=2, coupled=coupled)
        walk = SpeculativeWalk(TARGET, proposer, Race())
        assert sampled(walk, Recipe(), 500).equal(sampled(SequenceWalk(TARGET), Recipe(), 500))
