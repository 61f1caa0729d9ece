"""Plans of the accelerators that draft and verify: a proposer and a judge for the one loop, from settings.

All of them walk a sequence whose rows have a length each, but for the one that drafts continuous tokens.
"""

from typing import Any, Final

from genstudio.cache.makers import ragged_caches
from genstudio.generators.drafter import Drafter
from genstudio.generators.llamagen import LlamaGen
from genstudio.generators.mar import MAR
from genstudio.samplers.plan import Plan
from genstudio.samplers.speculate import proposers, settings
from genstudio.samplers.speculate.aligned import Comparison
from genstudio.samplers.speculate.continuous import ContinuousWalk
from genstudio.samplers.speculate.continuous_settings import CSpD
from genstudio.samplers.speculate.draft_model import DraftModel
from genstudio.samplers.speculate.eagle_trees import DynamicEagle, StaticEagle
from genstudio.samplers.speculate.judges import Race, Speculative
from genstudio.samplers.speculate.kseq import KSeq
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.speculate.neighbours import neighbours
from genstudio.samplers.speculate.proposal import Judge
from genstudio.samplers.speculate.proposers import Proposer
from genstudio.samplers.speculate.relaxed import Relaxation, Relaxed, unrelaxed
from genstudio.samplers.speculate.tree import NAIVE_EXTEND_57
from genstudio.tokenizers.vq import VQ

DRAWS: Final = 10  # below every node of LANTERN's static tree


def jacobi(plan: Plan, one: settings.Jacobi) -> Plan:
    """The target's own race decides."""
    return _walking(plan, _windows(plan, one), Race())


def sjd(plan: Plan, one: settings.SJD) -> Plan:
    """Speculative sampling decides."""
    return _walking(plan, _windows(plan, one), Speculative(one.refilter(plan.recipe)))


def spectr(plan: Plan, one: settings.SpecTr) -> Plan:
    """A smaller network drafts; K-SEQ decides."""
    draft = plan.companion(one.companions[0])
    assert isinstance(draft, LlamaGen)
    proposer = DraftModel(trunk=draft, cache=ragged_caches(draft), length=one.length, count=one.k)
    return _walking(plan, proposer, KSeq(one.k))


def lantern(plan: Plan, one: settings.Lantern) -> Plan:
    """EAGLE's network drafts a tree; relaxed acceptance decides."""
    target, drafter = _target(plan), plan.companion(one.companions[0])
    assert isinstance(drafter, Drafter)
    eagle: dict[str, Any] = {"target": target, "drafter": drafter, "cache": ragged_caches(drafter)}
    proposer: Proposer
    if one.tree == "dynamic":
        proposer = DynamicEagle(best=min(DynamicEagle.best, target.config.vocab), **eagle)
    else:
        proposer = StaticEagle(tree=NAIVE_EXTEND_57, draws=DRAWS, **eagle)
    return _walking(plan, proposer, Relaxed(_relaxation(plan, one), one.residual))


def cspd(plan: Plan, one: CSpD) -> Plan:
    """A smaller network, or the target itself, drafts the tokens of a few units."""
    draft = plan.companion(one.companions[0]) if one.companions else plan.generator
    assert isinstance(plan.generator, MAR) and isinstance(draft, MAR)
    walk = ContinuousWalk(
        target=plan.generator,
        draft=draft,
        comparison=Comparison(one.mode, one.scale),
        window=one.window,
        prefill=one.prefill,
        head_steps=one.head_steps,
    )
    return plan._replace(walk=walk)


def _walking(plan: Plan, proposer: Proposer, judge: Judge) -> Plan:
    walk = SpeculativeWalk(_target(plan), proposer, judge)
    return plan._replace(cache=ragged_caches(plan.generator), walk=walk)


def _windows(plan: Plan, one: settings.Jacobi | settings.SJD) -> proposers.Jacobi:
    config = _target(plan).config
    return proposers.Jacobi(codes=config.vocab, line=config.side, window=one.window, scheme=one.init)


def _relaxation(plan: Plan, one: settings.Lantern) -> Relaxation:
    """Official residuals read one neighbour more than may lend."""
    assert isinstance(plan.tokenizer, VQ)
    table_VC = plan.tokenizer.quantize.table_VC
    if one.k == 0:
        return unrelaxed(len(table_VC), table_VC.device)
    most = len(table_VC) - 1
    return Relaxation(neighbours(table_VC, min(one.k + 1, most)), min(one.k, most), one.bound)


def _target(plan: Plan) -> LlamaGen:
    assert isinstance(plan.generator, LlamaGen)
    return plan.generator
