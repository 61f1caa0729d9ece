"""Replays of the NAR fixtures for pictures: teacher forcing and greedy runs, from classes and from captions.

Everything goes through the studio's own network and walk. They count slots as they are fed; recorded tensors
are in raster order, so what was made is put where it stands. The official length is rounded up to a multiple
of 8, and rows behind the picture, which nothing feeds, see everything before them.
Shapes: B pictures, R rows, T condition slots, L codes, S = T + L slots, N = S rounded up, A axes, V codes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.cache.full import FullCache
from genstudio.cache.protocol import KV, Query
from genstudio.cache.spec import CacheSpec
from genstudio.configs.nar import NARConfig
from genstudio.generators.nar import NAR
from genstudio.nn.conditions import left_padded
from genstudio.nn.masks import lower
from genstudio.parity import llamagen
from genstudio.parity.fixture import Fixture
from genstudio.parity.llamagen import given
from genstudio.parity.networks import from_tensors
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.neighbour import NeighbourWalk
from genstudio.samplers.recipe import Recipe, TopK
from genstudio.samplers.values import Blocks, Cond, Feed, Given
from genstudio.samplers.walk import Done, Job, run


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of a fixture of either condition."""
    config = network_config(fixture.meta["config"])
    network = from_tensors(config, fixture.weights())
    assert isinstance(network, NAR)
    return _from_captions(fixture, network) if config.caption else _from_classes(fixture, network)


def network_config(numbers: dict[str, Any]) -> NARConfig:
    """From the official names of a fixture's numbers."""
    return llamagen.network_config(NARConfig, numbers, extra=(numbers.get("medusa_attention_num", 1),))


def _from_classes(fixture: Fixture, network: NAR) -> dict[str, Tensor]:
    """Runs by name; what is recorded of feeding and of keys belongs to the run `cfg`."""
    config, given_ = network.config, given(fixture, network.config)
    runs = {name: _Run(network, given_, settings) for name, settings in fixture.meta["runs"].items()}
    cond = network.condition(given_, null=False)
    return {
        **_teacher_forcing(fixture, network, given_),
        **{f"gen_{name}_tokens": run.ids_BL for name, run in runs.items()},
        **{f"gen_{name}_guided_logits": run.logits_BLV for name, run in runs.items()},
        "attn_mask_training": _mask(network, cond, config.condition_slots + config.codes)[0],
        "attn_mask_generation": _mask(network, cond, _length(config))[0],
        "rope_cos_sin": torch.view_as_real(network.rope(torch.arange(len(network.at_S))[None]))[0],
        "step_of_token": _steps(network),
        "fed_positions_per_step": nn.utils.rnn.pad_sequence(runs["cfg"].fed, True, padding_value=-1),
        "kcache_layer0": runs["cfg"].keys_YRHND[0],
        "kcache_last_layer": runs["cfg"].keys_YRHND[-1],
    }


def _from_captions(fixture: Fixture, network: NAR) -> dict[str, Tensor]:
    given_ = given(fixture, network.config)
    run = _Run(network, given_, fixture.meta)
    features_BTE, open_BT = left_padded(fixture.fed("t5_features"), fixture.fed("t5_mask"))
    cond = network.condition(given_, null=True)
    return {
        "cond": features_BTE,
        "cond_mask": open_BT,
        "attn_mask": _mask(network, cond, _length(network.config))[: len(features_BTE) + 1],
        "gen_tokens": run.ids_BL,
        "gen_guided_logits": run.logits_BLV,
    }


class _Run:
    """One greedy generation, and what was seen of it: logits in raster order, the slots of every call, the
    keys [Y,R,H,N,D] of all layers by slot."""

    def __init__(self, network: NAR, given_: Given, settings: dict[str, Any]) -> None:
        self.fed: list[Tensor] = []
        logits: list[Tensor] = []
        caches: list[_SlottedCache] = []

        def cache(rows: int, capacity: int, look: int) -> FullCache:
            spec = network.config.cache_spec(rows, capacity, "float32", look)
            caches.append(_SlottedCache(spec, _length(network.config)))
            return caches[-1]

        def trace(name: str, value: Tensor) -> None:
            if name == "guided_logits":
                logits.append(value)

        hook = network.rope.register_forward_hook(lambda _, args, __: self.fed.append(args[0][0]))
        picture = given_.label_B if given_.text is None else given_.text
        assert picture is not None
        recipe = Recipe(guidance=_guidance(settings), filters=(TopK(1),))
        job = Job(given_, torch.arange(len(picture)), recipe, KeyedDraws(), cache, trace=trace)
        *_, done = run(NeighbourWalk(network), job)
        hook.remove()
        assert isinstance(done, Done)
        self.ids_BL = done.codes.data[0]
        self.logits_BLV = torch.cat(logits, dim=1)[:, network.order.cells().argsort()]
        self.keys_YRHND = caches[0].keys_YRHND


class _SlottedCache(FullCache):
    """Also notes keys where the official cache has them, by slot; 0 where nothing was fed."""

    def __init__(self, spec: CacheSpec, length: int) -> None:
        super().__init__(spec, "cpu")
        self.keys_YRHND = torch.zeros(spec.layers, spec.rows, spec.heads, length, spec.head_dim)

    def write(self, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None) -> KV:
        self.keys_YRHND[layer, :, :, feed.at_Rn[0]] = k_RHnD
        return super().write(layer, k_RHnD, v_RHnD, feed, query)


def _guidance(settings: dict[str, Any]) -> Guidance:
    """Officially a step is guided while at most `cfg_interval` codes are there; -1 is no end."""
    interval = settings.get("cfg_interval", -1)
    return Guidance(cfg=settings["cfg_scale"], until=None if interval < 0 else interval + 1)


def _teacher_forcing(fixture: Fixture, network: NAR, given_: Given) -> dict[str, Tensor]:
    """One pass over all codes, the null rows with it, and its loss."""
    tokens_BL, first = fixture.fed("tf_tokens"), list[Tensor]()
    cond = network.condition(given_, null=True)
    hook = network.blocks[0].register_forward_hook(lambda *call: first.append(call[-1]))
    h_RSAC = _whole_pass(network, cond.spread(tokens_BL), cond)
    hook.remove()
    mixed_RLV = network.logits(h_RSAC, network.slot_AL, cond)
    made = {"tf_mixed_logits": mixed_RLV}
    for axis, name in enumerate(("right", "below")):
        logits_RSV = network.heads[axis](network.norms[axis](h_RSAC[:, :, axis]))
        made[f"tf_{name}_logits"] = _by_slot(network, logits_RSV)
    batch = len(tokens_BL)
    return {
        **{f"{name}_cond": logits[:batch] for name, logits in made.items()},
        **{f"{name}_uncond": logits[batch:] for name, logits in made.items()},
        "first_block_out_cond": _by_slot(network, first[0][:batch]),
        "tf_ce_loss": F.cross_entropy(mixed_RLV[:batch].flatten(0, 1), tokens_BL.flatten()),
    }


def _whole_pass(network: NAR, ids_RL: Tensor, cond: Cond) -> Tensor:
    """Hidden states [R,S,A,C], the last code's among them, which no walk feeds."""
    x_RSC = torch.cat([cond.start_RTD, network.embed(ids_RL[:, network.order.cells()])], dim=1)
    return network.forward(x_RSC, _whole_feed(network, cond), cond)


def _whole_feed(network: NAR, cond: Cond) -> Feed:
    mask = Blocks((*network.order.mask().sizes, 1))
    return Feed(network.at_S[None], mask, cond.open_through(len(network.at_S)))


def _by_slot(network: NAR, fed_RSx: Tensor) -> Tensor:
    return torch.empty_like(fed_RSx).index_copy_(1, network.at_S, fed_RSx)


def _mask(network: NAR, cond: Cond, length: int) -> Tensor:
    """Who attends to whom, [R, length, length] by slot."""
    at_S = network.at_S
    allowed_R1SS = lower(_whole_feed(network, cond), len(at_S), 0, None)
    assert allowed_R1SS is not None
    mask_RNN = torch.ones(len(allowed_R1SS), length, length, dtype=torch.bool).tril()
    if cond.open_RT is not None:
        closed_RT = ~cond.open_RT
        mask_RNN[:, :, : closed_RT.shape[1]].masked_fill_(closed_RT[:, None], False)
    mask_RNN[:, at_S[:, None], at_S] = allowed_R1SS[:, 0]
    return mask_RNN


def _steps(network: NAR) -> Tensor:
    """The unit that makes each code, in raster order."""
    planes = torch.tensor(network.order.planes)
    return torch.repeat_interleave(planes)[network.order.cells().argsort()]


def _length(config: NARConfig) -> int:
    return -(-(config.condition_slots + config.codes) // 8) * 8
