"""Replay of complete LANTERN runs: a small LlamaGen in the converted naming, drafted for by EAGLE's network.

`dyn` is LANTERN on EAGLE-2's tree of chosen drafts, `static` LANTERN++ on a given tree of drawn ones. Both
run until more than `max_length` codes are there.
V codes, m nodes of a tree, d nodes of a path.
"""

from math import isqrt
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genstudio.cache.ragged import RaggedCache
from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.llamagen import Caption, LlamaGenConfig
from genstudio.generators.drafter import Drafter
from genstudio.generators.llamagen import LlamaGen
from genstudio.parity.fixture import Fixture
from genstudio.parity.lantern import best_path, lantern_filters
from genstudio.releases.rename import Table, from_official
from genstudio.releases.table_lantern import converted_llamagen_table, drafter_table
from genstudio.releases.weights import fill
from genstudio.samplers.draws import Use
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.recorded import Queue, RecordedDraws
from genstudio.samplers.speculate.eagle import Eagle
from genstudio.samplers.speculate.eagle_trees import DynamicEagle, StaticEagle
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.speculate.neighbours import nearest_codes
from genstudio.samplers.speculate.relaxed import Relaxation, Relaxed
from genstudio.samplers.speculate.tree import StaticTree, retrieve
from genstudio.samplers.values import Given
from genstudio.samplers.walk import CacheMaker, Job

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def replay_run(fixture: Fixture) -> dict[str, Tensor]:
    """Both runs."""
    settings = fixture.meta["config"]["run"]
    target, drafter = _target(fixture), _drafter(fixture)
    shared: dict[str, Any] = {"target": target, "drafter": drafter, "cache": _cache(drafter.config)}
    numbers = fixture.meta["config"]["drafter"]
    dynamic = DynamicEagle(
        count=numbers["total_tokens"] - 1, depth=numbers["depth"], best=numbers["top_k"], **shared
    )
    tree = StaticTree.from_paths(settings["static_tree_choices"])
    static = StaticEagle(tree=tree, draws=numbers["top_k"], **shared)
    return {
        **_run(fixture, "dyn", dynamic, settings["lantern_delta_dynamic"]),
        **_run(fixture, "static", static, settings["lantern_lambda_static"]),
    }


def _run(fixture: Fixture, name: str, proposer: Eagle, delta: float) -> dict[str, Tensor]:
    settings, target = fixture.meta["config"]["run"], proposer.target
    assert isinstance(target, LlamaGen)
    nearest_VK = nearest_codes(fixture.fed("codebook"), target.config.vocab - 1)
    judge = Relaxed(Relaxation(nearest_VK, settings["lantern_k"], delta), "official")
    picks = Queue(fixture.fed(f"u_sample_{name}"))
    accepts = Queue(fixture.fed(f"u_accept_{name}"), hold=True)
    draws = RecordedDraws({Use.TOKEN: picks, Use.DRAFT: picks, Use.RESIDUAL: picks, Use.ACCEPT: accepts})
    heard = _Heard()
    recipe = Recipe(guidance=Guidance(cfg=float(settings["cfg"])), filters=lantern_filters(settings))
    given = Given(text=fixture.fed("t5_features"), open_BT=fixture.fed("t5_mask"))
    job = Job(given, torch.zeros(1).long(), recipe, draws, _cache(target.config), trace=heard)
    ids_BL = _first_codes(SpeculativeWalk(target, proposer, judge), job, settings["max_length"])
    draws.finish()
    return {f"{name}_{key}": value for key, value in heard.outputs().items()} | {f"{name}_tokens": ids_BL}


class _Heard:
    """What a run tells of its rounds."""

    def __init__(self) -> None:
        self.told: dict[str, list[Tensor]] = {}

    def __call__(self, name: str, value: Tensor) -> None:
        self.told.setdefault(name, []).append(value)

    def outputs(self) -> dict[str, Tensor]:
        """Best path and accepted drafts of every round; the first tree. The official tables say -1 where a
        path has ended and gather there the logits of the last node."""
        rounds = zip(self.told["parents"], self.told["path"], strict=True)
        steps = torch.tensor([best_path(retrieve(parents[0].tolist()), path) for parents, path in rounds])
        retrieved = retrieve(self.told["parents"][0][0].tolist())
        ids_m, logits_mV = self.told["drafts"][0][0], self.told["guided_logits"][1][0]
        return {
            "steps": steps,
            "mean_accept": (steps[:, 1] + 1).float().mean(),
            "tree0_candidates": ids_m[retrieved].masked_fill(retrieved < 0, -1),
            "tree0_logits": logits_mV[retrieved],
            "tree0_sample_p": self.told["law"][0][0],
        }


def _first_codes(walk: SpeculativeWalk, job: Job, length: int) -> Tensor:
    """The first codes [1, length]. The official run ends as soon as its rounds have made more than these, and
    drafts once more before it looks."""
    state = walk.start(job)
    while state.done - 1 <= length:
        walk.advance(state)
    walk.draft(state)
    return walk.codes(state).data[0][:, :length]


def _target(fixture: Fixture) -> LlamaGen:
    numbers = fixture.meta["config"]["base"]
    config = LlamaGenConfig(
        depth=numbers["num_hidden_layers"],
        width=numbers["hidden_size"],
        heads=numbers["num_attention_heads"],
        hidden=numbers["intermediate_size"],
        vocab=numbers["vocab_size"],
        side=isqrt(numbers["block_size"]),
        caption=Caption(slots=numbers["cls_token_num"], width=numbers["caption_dim"]),
        norm_eps=numbers["rms_norm_eps"],
        rope_base=numbers["rope_base"],
    )
    return _filled(LlamaGen(config), fixture.weights("base."), converted_llamagen_table())


def _drafter(fixture: Fixture) -> Drafter:
    """As wide as its target; its condition is one slot shorter."""
    base, numbers = fixture.meta["config"]["base"], fixture.meta["config"]["drafter"]
    config = DrafterConfig(
        depth=numbers["num_hidden_layers"],
        width=base["hidden_size"],
        heads=base["num_attention_heads"],
        hidden=base["intermediate_size"],
        vocab=base["vocab_size"],
        side=isqrt(numbers["block_size"]),
        condition_slots=numbers["cls_token_num"] + 1,
        norm_eps=numbers["rms_norm_eps"],
        rope_base=base["rope_base"],
        bias=numbers["bias_fc"],
    )
    return _filled(Drafter(config), fixture.weights("drafter."), drafter_table(config))


def _filled(network: Network, official: dict[str, Tensor], table: Table) -> Network:
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    fill(network, from_official(official, table, shapes).tensors, "the fixture")
    return network.eval()


def _cache(config: LlamaGenConfig | DrafterConfig) -> CacheMaker:
    def make(rows: int, capacity: int, look: int) -> RaggedCache:
        return RaggedCache(config.cache_spec(rows, capacity + look, "float32"), "cpu")

    return make
