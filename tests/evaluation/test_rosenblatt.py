"""Rosenblatt's test: right samplers pass at the stated error rate, wrong ones do not.

Keys are fixed; a right sampler would fail one of these tests with probability ALPHA.
"""

import pytest
import torch
from torch import Tensor

from genstudio.evaluation.rosenblatt import fit, uniforms
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.speculate import kseq
from genstudio.samplers.speculate.draft_model import DraftModel
from genstudio.samplers.speculate.kseq import KSeq
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.walk import Walk
from tests.samplers.speculate.toy import CODES, LENGTH, Chain, no_cache, sampled

ALPHA = 1e-3
PICTURES = 8_000
DRAWS = KeyedDraws()


def laws(chain: Chain, ids_BL: Tensor) -> Tensor:
    before_BL = torch.cat([torch.zeros_like(ids_BL[:, :1]), ids_BL[:, :-1]], dim=1)
    return chain.logits_LVV[torch.arange(LENGTH), before_BL].softmax(-1)


def passes(walk: Walk, target: Chain = Chain(1)) -> bool:
    ids_BL = sampled(walk, Recipe(), PICTURES)
    return fit(laws(target, ids_BL), ids_BL, DRAWS, torch.arange(PICTURES)).holds(ALPHA)


def spectr() -> SpeculativeWalk:
    return SpeculativeWalk(Chain(1), DraftModel(trunk=Chain(2), cache=no_cache, length=3, count=4), KSeq(4))


def test_right_samplers_pass() -> None:
    assert passes(SequenceWalk(Chain(1)))
    assert passes(spectr())


def test_wrong_samplers_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not passes(SequenceWalk(Chain(2)))
    monkeypatch.setattr(kseq, "smallest_rho", lambda p_RV, q_RV, k_R: torch.ones(len(p_RV)).double())
    assert not passes(spectr())


def test_a_number_lies_in_the_stretch_of_its_code() -> None:
    p_11V = torch.tensor([[[0.2, 0.5, 0.2, 0.1]]]).double()
    stretches = [(0.5, 0.7), (0.0, 0.5), (0.7, 0.9), (0.9, 1.0)]
    for code, (low, high) in enumerate(stretches):
        u = [
            float(uniforms(p_11V, torch.tensor([[code]]), DRAWS, torch.tensor([seed]))) for seed in range(50)
        ]
        assert all(low <= value <= high for value in u) and max(u) - min(u) > (high - low) / 2


def test_excluded_codes_are_no_fit() -> None:
    p_BLV = torch.tensor([0.5, 0.5, 0.0, 0.0]).double().expand(PICTURES, 1, CODES)
    seed_B = torch.arange(PICTURES)
    ids_BL = DRAWS.below(Use.TOKEN, At(seed_B, seed_B[:, None]), 2)[:, None]
    assert fit(p_BLV, ids_BL, DRAWS, seed_B).holds(ALPHA)
    ids_BL[0] = 3
    found = fit(p_BLV, ids_BL, DRAWS, seed_B)
    assert found.excluded == 1 and not found.holds(ALPHA)
