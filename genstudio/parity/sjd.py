"""Replays of SJD: windows of drafts judged by recorded uniforms, how fresh drafts are chosen, a complete run.

N cases (windows of one batch), L positions of a window, V codes, n fresh drafts.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genstudio.cache.full import FullCache
from genstudio.cache.ragged import RaggedCache
from genstudio.generators.llamagen import LlamaGen
from genstudio.parity import llamagen
from genstudio.parity.fixture import Fixture
from genstudio.samplers.draws import Use
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Filter, Recipe, Temperature, TopK, TopP
from genstudio.samplers.recorded import Queue, RecordedDraws, Table
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.speculate.judges import Speculative, acceptance, longest_path
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.speculate.proposal import Proposal, Standing, Verdict
from genstudio.samplers.speculate.proposers import Jacobi, Kept, Round, Scheme
from genstudio.samplers.values import Codes
from genstudio.samplers.walk import Done, Job, Walk, run


@torch.no_grad()
def replay_criterion(fixture: Fixture) -> dict[str, Tensor]:
    """Acceptance, residual, the deterministic criterion, and the fresh drafts of every scheme."""
    p_NLV, fresh_NL = fixture.fed("advanced_prob"), fixture.fed("advanced_tokens")
    ids_NL, q_NLV = fixture.fed("draft_tokens"), fixture.fed("draft_prob")
    window = Proposal.window(ids_NL, q_NLV)
    verdict = _criterion(fixture, window, p_NLV, fresh_NL)
    accepted_N1, length = verdict.accepted_R[:, None], ids_NL.shape[1]
    kept_NL1 = (torch.arange(length) < accepted_N1)[..., None]
    agreed_NL = F.pad(ids_NL[:, 1:] == fresh_NL[:, :-1], (1, 0), value=True)
    emitted_NL = verdict.emitted(ids_NL)
    return {
        "accept_ratio": acceptance(p_NLV, window),
        "n_emitted": verdict.accepted_R + 1,
        "out_tokens": torch.where(emitted_NL < 0, fresh_NL, emitted_NL),
        "out_prob": torch.where(kept_NL1, q_NLV.roll(-1, dims=1), p_NLV),
        "residual_prob": torch.where(accepted_N1 < length - 1, verdict.law_RV, 0),
        "jacobi_first_mismatch": (longest_path(agreed_NL, window.tree) >= 0).sum(1),
        **_fresh_drafts(fixture),
    }


@torch.no_grad()
def replay_run(fixture: Fixture) -> dict[str, Tensor]:
    """A complete run on the network of a sibling folder, whose head is flattened before."""
    network = llamagen.filled(fixture.sibling("LlamaGen GPT"))
    network.head.weight.mul_(fixture.meta["output_weight_scale"])
    uniforms = fixture.fed("u_sample")
    first_B1 = _first_code(fixture, network, Queue(uniforms[:1]))
    told: dict[str, list[Tensor]] = {"drafts": [], "path": []}
    tokens_BL = _rest(fixture, network, first_B1, Queue(uniforms[1:], hold=True), told)
    windows = [ids_1m[0] for ids_1m in told["drafts"]]
    emitted = [int((path_1d >= 0).sum()) for path_1d in told["path"]]
    return {
        "tokens": tokens_BL,
        "nfe": torch.tensor(len(windows)),
        "iter_window_tokens": pad_sequence(windows, batch_first=True, padding_value=-1),
        "iter_window_accepted": torch.tensor([list(map(len, windows)), emitted]).t(),
    }


def _first_code(fixture: Fixture, network: LlamaGen, uniforms: Queue) -> Tensor:
    """What the official run draws from the text alone, with settings of its own, [B,1]."""
    config = fixture.meta["config"]
    filters = (Temperature(config["temperature_prefill"]), *_filters(config))
    recipe = Recipe(guidance=Guidance(cfg=config["prefill_cfg_scale"]), filters=filters)

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(network.config.cache_spec(rows, capacity, "float32", look), "cpu")

    draws = RecordedDraws({Use.TOKEN: uniforms})
    given = llamagen.given(fixture, network.config)
    done = _finished(SequenceWalk(network), Job(given, torch.zeros(1).long(), recipe, draws, cache, until=1))
    return done[:, :1]


def _rest(
    fixture: Fixture, network: LlamaGen, first_B1: Tensor, uniforms: Queue, told: dict[str, list[Tensor]]
) -> Tensor:
    """The windows behind the first code. LlamaGen's width is not known to the official schemes, which then
    draw every fresh draft at random."""
    config = fixture.meta["config"]
    first, stop = (1 + config[f"jacobi_loop_interval_{end}"] for end in "lr")
    proposer = Jacobi(
        codes=network.config.vocab,
        line=network.config.side,
        window=config["max_num_new_tokens"],
        scheme="random",
        interval=(first, stop),
    )
    recipe = Recipe(guidance=Guidance(cfg=config["guidance_scale"]), filters=_filters(config))
    draws = RecordedDraws(
        {
            Use.PROPOSAL: uniforms,
            Use.RESIDUAL: uniforms,
            Use.ACCEPT: Queue(fixture.fed("u_accept")),
            Use.DRAFT: Queue(fixture.fed("init_tokens").double(), hold=True),
        }
    )

    def cache(rows: int, capacity: int, look: int) -> RaggedCache:
        return RaggedCache(network.config.cache_spec(rows, capacity, "float32", look), "cpu")

    def trace(name: str, value: Tensor) -> None:
        if name in told:
            told[name].append(value)

    given = llamagen.given(fixture, network.config)._replace(prefix=Codes("ids", (first_B1,)))
    job = Job(given, torch.zeros(1).long(), recipe, draws, cache, trace=trace)
    ids_BL = _finished(SpeculativeWalk(network, proposer, Speculative(recipe.filters)), job)
    draws.finish()
    return ids_BL


def _filters(config: dict[str, Any]) -> tuple[Filter, ...]:
    top_k = (TopK(config["image_top_k"]),) if config["image_top_k"] else ()
    return (*top_k, TopP(config["image_top_p"]))


def _finished(walk: Walk[Any], job: Job) -> Tensor:
    """All codes [B,L]."""
    *_, done = run(walk, job)
    assert isinstance(done, Done)
    return done.codes.data[0]


def _criterion(fixture: Fixture, window: Proposal, p_NLV: Tensor, fresh_NL: Tensor) -> Verdict:
    """All cases at once; a case's only code, the root of its window, has number 0."""
    settings = fixture.meta["config"]["residual_processors"]
    known: dict[str, Filter] = {"top_k": TopK(settings["top_k"]), "top_p": TopP(settings["top_p"])}
    judge = Speculative(tuple(known[name] for name in settings["order"]))
    cases, length = window.ids_Rm.shape
    resample_NL = fixture.fed("resample_uniforms")[:, None].expand(-1, length + 1)
    accept_NL1 = fixture.fed("accept_uniforms")[..., None]
    draws = RecordedDraws({Use.ACCEPT: Table(accept_NL1), Use.RESIDUAL: Table(resample_NL)})
    return judge.compare(p_NLV, fresh_NL, window, draws, _standing(cases, 1))


def _standing(pictures: int, made: int) -> Standing:
    return Standing(torch.arange(pictures), torch.full((pictures,), made), torch.zeros(pictures).long())


def _fresh_drafts(fixture: Fixture) -> dict[str, Tensor]:
    """Ids and laws of every scheme. Places count from the first image code on."""
    numbers = fixture.meta["config"]["init"]
    ids_1T, kept_1k = fixture.fed("init_input_ids"), fixture.fed("init_kept_tokens")
    made = ids_1T.shape[1] - numbers["first_image_index"]
    first = 1 + kept_1k.shape[1]
    schemes: tuple[Scheme, ...] = ("random", "repeat_horizon", "sample_horizon")
    drafts: dict[str, Tensor] = {}
    for scheme in schemes:
        queue = Queue(fixture.fed("init_random_tokens").double(), hold=True)
        window = first + numbers["n_fresh"]
        proposer = Jacobi(
            codes=fixture.meta["config"]["vocab"], line=numbers["line_length"], window=window, scheme=scheme
        )
        memory = Kept(kept_1k, fixture.fed("init_kept_scores"), fixture.fed("init_scores")[:, -1])
        draws = RecordedDraws({Use.DRAFT: queue})
        now = Round(
            _standing(1, made), ids_1T[:, numbers["first_image_index"] :], (made,), made + window, draws
        )
        proposal = proposer.propose(memory, now)
        draws.finish()
        assert proposal.q_RmV is not None
        drafts[f"init_{scheme}"] = proposal.ids_Rm[:, first:]
        drafts[f"init_prob_{scheme}"] = proposal.q_RmV[:, first:]
    return drafts
