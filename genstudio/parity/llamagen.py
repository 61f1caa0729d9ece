"""Replays of the LlamaGen fixtures: teacher forcing, greedy and sampled runs, from classes and from text.

Everything goes through the studio's own network and walk; the numbers of the configuration come from the
fixture, so that any width, depth, grid, class count or caption replays.
"""

from math import isqrt
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.configs.llamagen import Caption, LlamaConfig, LlamaGenConfig, gated_width
from genstudio.errors import GenstudioError
from genstudio.generators.llamagen import LlamaGen, hidden_states
from genstudio.nn.conditions import left_padded
from genstudio.nn.masks import lower
from genstudio.parity import llamagen_vq
from genstudio.parity.fixture import Fixture
from genstudio.parity.networks import from_tensors
from genstudio.samplers.draws import Draws, KeyedDraws, Use
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.picks import law
from genstudio.samplers.recipe import Filter, Recipe, Temperature, TopK, TopP
from genstudio.samplers.recorded import Queue, RecordedDraws
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.values import Codes, Feed, Given
from genstudio.samplers.walk import Done, Job, run

Config = TypeVar("Config", bound=LlamaConfig)


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of a fixture of either condition."""
    made = replay_network(fixture)
    return made | {"greedy_image": picture(fixture, made["greedy_tokens"])}


@torch.no_grad()
def replay_network(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs but the picture, which needs a tokenizer from another folder."""
    network, settings = filled(fixture), fixture.meta["config"]["run"]
    made = {**_teacher_forcing(fixture, network), **_random(fixture, network, settings)}
    if network.config.caption:
        made |= _padding(fixture, network)
    for name, recipe in _greedy(settings).items():
        made[f"{name}_tokens"], made[f"{name}_logits"] = _sample(fixture, network, recipe)
    return made | {"greedy_tokens": made["greedy_cfg_tokens"]}


def _greedy(settings: dict[str, Any]) -> dict[str, Recipe]:
    """The arg-max runs: guided, without guidance, and guided at first where an interval was recorded."""
    filters, scale = _filters(settings["greedy"]), settings["cfg_scale"]
    recipes = {
        "greedy_cfg": Recipe(guidance=guidance(scale), filters=filters),
        "greedy_nocfg": Recipe(filters=filters),
    }
    if (interval := settings.get("cfg_interval")) is not None:
        recipes["greedy_interval"] = Recipe(guidance=guidance(scale, interval), filters=filters)
    return recipes


def guidance(scale: float, interval: int = -1) -> Guidance:
    """Officially the condition and decoding steps 0 to `interval` are guided, which make interval + 2 codes;
    -1 is no end."""
    return Guidance(cfg=scale, until=None if interval < 0 else interval + 2)


def _teacher_forcing(fixture: Fixture, network: LlamaGen) -> dict[str, Tensor]:
    """One pass, the null rows with it."""
    tokens_BL = fixture.fed("tokens")
    cond = network.condition(given(fixture, network.config), null=True)
    first: list[Tensor] = []
    hook = network.blocks[0].register_forward_hook(lambda *call: first.append(call[-1]))
    logits_RSV = network.logits(hidden_states(network, cond.spread(tokens_BL), cond), cond)
    hook.remove()
    given_BSV, null_BSV = logits_RSV.chunk(2)
    codes_BLV = given_BSV[:, network.config.condition_slots - 1 :]
    return {
        "teacher_block0": first[0][: len(tokens_BL)],
        "teacher_logits": given_BSV,
        "teacher_logits_uncond": null_BSV,
        "train_loss_no_dropout": F.cross_entropy(codes_BLV.flatten(0, 1), tokens_BL.flatten()),
    }


def _padding(fixture: Fixture, network: LlamaGen) -> dict[str, Tensor]:
    """Features and mask of the caption, and who attends to whom."""
    features_BTE, open_BT = left_padded(fixture.fed("t5_features"), fixture.fed("t5_mask"))
    cond = network.condition(given(fixture, network.config), null=False)
    slots = network.config.condition_slots + network.config.codes
    feed = Feed(torch.arange(slots)[None], network.order.mask(), cond.open_through(slots))
    allowed_B1SS = lower(feed, slots, 0, None)
    assert allowed_B1SS is not None
    return {"cond_features": features_BTE, "cond_mask": open_BT, "attn_mask": allowed_B1SS[:, 0]}


def _random(fixture: Fixture, network: LlamaGen, settings: dict[str, Any]) -> dict[str, Tensor]:
    """The run on recorded uniforms."""
    recipe = Recipe(guidance=guidance(settings["cfg_scale"]), filters=_filters(settings["sampled"]))
    draws = RecordedDraws({Use.TOKEN: Queue(fixture.fed("sample_uniforms"))})
    ids_BL, logits_BLV = _sample(fixture, network, recipe, draws)
    draws.finish()
    return {"sampled_tokens": ids_BL, "sampled_probs": law(logits_BLV, recipe)}


def _sample(
    fixture: Fixture, network: LlamaGen, recipe: Recipe, draws: Draws = KeyedDraws()
) -> tuple[Tensor, Tensor]:
    """Ids [B,L] of one run, and the logits [B,L,V] after guidance."""
    logits: list[Tensor] = []

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(network.config.cache_spec(rows, capacity, "float32", look), "cpu")

    def trace(name: str, value: Tensor) -> None:
        if name == "guided_logits":
            logits.append(value)

    seed_B = torch.arange(len(fixture.fed("tokens")))
    job = Job(given(fixture, network.config), seed_B, recipe, draws, cache, trace=trace)
    *_, done = run(SequenceWalk(network), job)
    assert isinstance(done, Done)
    return done.codes.data[0], torch.cat(logits, dim=1)


def _filters(settings: dict[str, Any]) -> tuple[Filter, ...]:
    """Temperature, top-k, top-p, as officially ordered; 0 and 1.0 are off, arg-max is the first alone."""
    filters: list[Filter] = [Temperature(settings["temperature"])]
    if settings["top_k"]:
        filters.append(TopK(settings["top_k"]))
    if settings["top_p"] < 1:
        filters.append(TopP(settings["top_p"]))
    return (*filters, *(() if settings.get("sample_logits", True) else (TopK(1),)))


def given(fixture: Fixture, config: LlamaConfig) -> Given:
    """Labels, or features as the text encoder returns them."""
    if config.caption is None:
        return Given(label_B=fixture.fed("class_ids"))
    return Given(text=fixture.fed("t5_features"), open_BT=fixture.fed("t5_mask"))


def picture(fixture: Fixture, ids_BL: Tensor) -> Tensor:
    """Codes decoded by the sibling's tokenizer."""
    tokenizer = llamagen_vq.filled(fixture.sibling("LlamaGen VQ tokenizer"))
    return tokenizer.decode(tokenizer.latents(Codes("ids", (ids_BL,))))


def filled(fixture: Fixture) -> LlamaGen:
    """The network of a fixture folder (other methods' fixtures have it as a sibling)."""
    config = network_config(LlamaGenConfig, fixture.meta["config"]["ModelArgs"])
    network = from_tensors(config, fixture.weights())
    assert isinstance(network, LlamaGen)
    return network


def network_config(kind: type[Config], numbers: dict[str, Any], **more: Any) -> Config:
    """From the official names of a fixture's numbers, and what a kind has `more`. Raises GenstudioError for
    heads that share keys, which no released network has, and for a picture that is no square."""
    side, heads = isqrt(numbers["block_size"]), numbers["n_head"]
    if numbers.get("n_kv_head") not in (None, heads) or side * side != numbers["block_size"]:
        raise GenstudioError(
            "This transformer shares keys between heads, or its picture is no square.",
            "Only networks like the released ones are known here.",
        )
    text = numbers["model_type"] == "t2i"
    return kind(
        depth=numbers["n_layer"],
        width=numbers["dim"],
        heads=heads,
        hidden=gated_width(numbers["dim"], numbers["multiple_of"], numbers.get("ffn_dim_multiplier") or 1.0),
        vocab=numbers["vocab_size"],
        side=side,
        classes=0 if text else numbers["num_classes"],
        caption=Caption(slots=numbers["cls_token_num"], width=numbers["caption_dim"]) if text else None,
        norm_eps=numbers["norm_eps"],
        rope_base=numbers["rope_base"],
        **more,
    )
