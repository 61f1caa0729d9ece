"""Replay of LANTERN's acceptance: relaxed probabilities, and trees of drafts judged by recorded uniforms.

Drafts of the dynamic tree are chosen, those of the static one drawn. Every case and setting is judged alone,
as its uniforms are a queue of their own: outcomes decide how many of them are used.
N cases, V codes, m nodes of a tree, i nodes that have children, t drawn ids below one of them.
"""

from typing import Any

import torch
from torch import Tensor

from genstudio.parity.fixture import Fixture
from genstudio.samplers import filters
from genstudio.samplers.draws import Use
from genstudio.samplers.recipe import Filter, Temperature, TopK, TopP
from genstudio.samplers.recorded import Queue, RecordedDraws
from genstudio.samplers.speculate.neighbours import nearest_codes
from genstudio.samplers.speculate.proposal import Proposal, Standing, Verdict, drawn
from genstudio.samplers.speculate.relaxed import GreedyRelaxed, Relaxation, Relaxed, unrelaxed
from genstudio.samplers.speculate.tree import DraftTree, StaticTree, retrieve


@torch.no_grad()
def replay_acceptance(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs: the table of neighbours, relaxed probabilities, both trees, and the greedy branch."""
    config = fixture.meta["config"]
    nearest_VV = nearest_codes(fixture.fed("codebook"), config["vocab"] - 1)
    tree = StaticTree.from_paths(config["tree_choices"])
    retrieved = retrieve(tree.parents)
    shape = tree.drafts("cpu")
    p_NmV = _law(fixture.fed("tree_logits"), config)
    dynamic = Proposal(fixture.fed("tree_tokens"), _roomy(shape))
    static = _static(fixture, tree)
    relaxations = [_relaxation(setting, nearest_VV) for setting in config["settings"]]
    return {
        "nearest": nearest_VV.long(),
        "agg_prob": _relaxed_probabilities(fixture, nearest_VV),
        "retrieve_indices": retrieved,
        "tree_attn_mask": shape.ancestors()[0].float(),
        "tree_position_ids": shape.level_Rm[0],
        "static_candidates": _gathered(static.ids_Rm, retrieved, -1),
        "static_candidate_q": _gathered(_own_q(static), retrieved, 1),
        "greedy_result": _greedy(fixture, dynamic, relaxations, retrieved),
        **_judged("dynamic", fixture, dynamic, p_NmV, relaxations, retrieved),
        **_judged("static", fixture, static, p_NmV, relaxations, retrieved),
    }


def lantern_filters(settings: dict[str, Any]) -> tuple[Filter, ...]:
    """Temperature, top-p, top-k, in this order, as far as they are on."""
    chosen: list[Filter] = [Temperature(settings["temperature"])] if settings["temperature"] != 1 else []
    chosen += [TopP(settings["top_p"])] if settings["top_p"] < 1 else []
    return (*chosen, *([TopK(settings["top_k"])] if settings["top_k"] else []))


def _law(logits: Tensor, config: dict[str, Any]) -> Tensor:
    return filters.apply(lantern_filters(config["logits_processor"]), logits).softmax(-1)


def _roomy(tree: DraftTree) -> DraftTree:
    """The same tree, should all of its drafts compete for one place: recorded ids may be equal."""
    return tree._replace(fan=tree.parent_Rm.shape[1] - 1)


def _relaxation(setting: dict[str, Any], nearest_VV: Tensor) -> Relaxation:
    if not setting["lantern"]:
        return unrelaxed(len(nearest_VV), "cpu")
    return Relaxation(nearest_VV, setting["k"], setting["delta"])


def _relaxed_probabilities(fixture: Fixture, nearest_VV: Tensor) -> Tensor:
    """[law, token, k, delta]."""
    config, tokens = fixture.meta["config"], fixture.fed("agg_tokens")
    p_RV = fixture.fed("agg_logits").softmax(-1)
    row_N, id_N = torch.arange(len(p_RV)).repeat_interleave(len(tokens)), tokens.repeat(len(p_RV))
    masses = [
        Relaxation(nearest_VV, k, delta).mass(p_RV, row_N, id_N)[0]
        for k in config["k_list"]
        for delta in config["delta_list"]
    ]
    shape = (len(p_RV), len(tokens), len(config["k_list"]), len(config["delta_list"]))
    return torch.stack(masses, dim=-1).view(shape)


def _static(fixture: Fixture, tree: StaticTree) -> Proposal:
    """The drawn drafts. Rows of the drafter are named by the paths of their nodes."""
    config = fixture.meta["config"]
    paths = [tuple(path) for path in config["drafter_rows"]]
    order = [paths.index(tree.path(node)) for node in tree.inner]
    law_NiV = _law(fixture.fed("draft_logits"), config)[:, order]
    drawn_Nit = fixture.fed("draft_tokens_static")[:, order]
    proposal = drawn(tree, fixture.fed("tree_tokens")[:, 0], drawn_Nit, law_NiV)
    return proposal._replace(tree=_roomy(proposal.tree))


def _judged(
    kind: str,
    fixture: Fixture,
    proposal: Proposal,
    p_NmV: Tensor,
    relaxations: list[Relaxation],
    retrieved: Tensor,
) -> dict[str, Tensor]:
    """Best path, accepted drafts, uniforms used; and the law of the next code."""
    results, laws = [], []
    for case, uniforms in enumerate(fixture.fed("uniforms")):
        for setting, relaxation in enumerate(relaxations):
            queue = Queue(uniforms[setting], hold=True)
            verdict = _judge(Relaxed(relaxation, "official"), _case(proposal, case), p_NmV[case], queue)
            results.append([*best_path(retrieved, verdict.path_Rd), queue.read_so_far])
            laws.append(verdict.law_RV[0])
    shape = (len(p_NmV), len(relaxations), -1)
    return {
        f"{kind}_result": torch.tensor(results).view(shape),
        f"{kind}_sample_p": torch.stack(laws).view(shape),
    }


def _greedy(fixture: Fixture, proposal: Proposal, relaxations: list[Relaxation], retrieved: Tensor) -> Tensor:
    p_NmV, unused = fixture.fed("tree_logits").softmax(-1), Queue(torch.empty(0))
    verdicts = [
        _judge(GreedyRelaxed(relaxation), _case(proposal, case), p_mV, unused)
        for case, p_mV in enumerate(p_NmV)
        for relaxation in relaxations
    ]
    results = [best_path(retrieved, verdict.path_Rd) for verdict in verdicts]
    return torch.tensor(results).view(len(p_NmV), len(relaxations), 2)


def _judge(judge: Relaxed | GreedyRelaxed, proposal: Proposal, p_mV: Tensor, uniforms: Queue) -> Verdict:
    """The code behind the path is no part of the fixture: any uniform draws it."""
    draws = RecordedDraws({Use.ACCEPT: uniforms, Use.RESIDUAL: Queue(torch.full((1,), 0.5))})
    standing = Standing(*(torch.ones(1, dtype=torch.int64) for _ in range(3)))
    return judge.judge(p_mV[None], proposal, draws, standing)


def _case(proposal: Proposal, case: int) -> Proposal:
    one = slice(case, case + 1)
    q_RmV = None if proposal.q_RmV is None else proposal.q_RmV[one]
    return Proposal(proposal.ids_Rm[one], proposal.tree, q_RmV)


def best_path(retrieved: Tensor, path_1d: Tensor) -> list[int]:
    """The first official path that goes through the last accepted node, and how many drafts were accepted."""
    accepted = int((path_1d >= 0).sum()) - 1
    last = path_1d[0, accepted]
    return [int((retrieved[:, accepted] == last).int().argmax()), accepted]


def _own_q(proposal: Proposal) -> Tensor:
    """q(x) of every draft, 1 at the root, [N, m]."""
    assert proposal.q_RmV is not None
    q_Nm = proposal.q_RmV.gather(2, proposal.ids_Rm[..., None])[..., 0]
    return q_Nm.index_fill(1, torch.tensor([0]), 1)


def _gathered(values_Nm: Tensor, retrieved: Tensor, padding: int) -> Tensor:
    """Values of nodes along all paths, [N, path, depth + 1]."""
    return values_Nm[:, retrieved.clamp(min=0)].masked_fill(retrieved < 0, padding)
