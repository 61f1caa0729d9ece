"""LlamaGen as a pure network: units through a cache equal one pass, rows stay apart, conditions are zeros."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.cache.full import FullCache
from genstudio.cache.protocol import KV, Query
from genstudio.cache.ragged import RaggedCache
from genstudio.configs.llamagen import LlamaGenConfig, gated_width
from genstudio.generators.llamagen import LlamaGen, hidden_states, initialise, teacher_forced
from genstudio.nn.conditions import left_padded
from genstudio.nn.rope import Rope, axial_angles, raster, rotate
from genstudio.samplers.values import Feed, Given
from tests.releases import tiny

CONFIGS = [tiny.SEQUENCE, tiny.CAPTIONED]
CONDITIONS = pytest.mark.parametrize("config", CONFIGS, ids=["classes", "caption"])
OPEN = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])


def network(config: LlamaGenConfig) -> LlamaGen:
    built = tiny.network(config).double()
    assert isinstance(built, LlamaGen)
    for value in built.parameters():
        value.data *= 0.3
    return built


def given(config: LlamaGenConfig) -> Given:
    """Three pictures: labels, or features of 3, 5 and 1 words padded on the right."""
    if config.caption is None:
        return Given(label_B=torch.tensor([1, 5, 9]))
    shape = (3, config.caption.slots, config.caption.width)
    return Given(text=torch.randn(shape, generator=torch.manual_seed(1)).double(), open_BT=OPEN)


def ids(config: LlamaGenConfig, batch: int = 3) -> Tensor:
    return torch.randint(config.vocab, (batch, config.codes), generator=torch.manual_seed(2))


@CONDITIONS
@pytest.mark.parametrize("kind", [FullCache, RaggedCache])
@torch.no_grad()
def test_unit_by_unit_equals_one_masked_pass(
    config: LlamaGenConfig, kind: type[FullCache] | type[RaggedCache]
) -> None:
    llama, ids_BL = network(config), ids(config)
    cond = llama.condition(given(config), null=True)
    ids_RL = cond.spread(ids_BL)
    whole = hidden_states(llama, ids_RL, cond)
    cache = kind(config.cache_spec(6, llama.order.slots, "float64"), "cpu")
    parts = []
    for unit in llama.order.units():
        x = cond.start_RTD if unit.made.start == 0 else llama.embed(ids_RL[:, unit.made.start - 1, None])
        open_Rn = cond.open_RT if unit.made.start == 0 else None
        at_1n = torch.arange(unit.fed.start, unit.fed.stop)[None]
        parts.append(llama.forward(x, Feed(at_1n, llama.order.mask(), open_Rn), cond, cache))
        cache.commit(len(unit.fed))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-9, rtol=0)


@CONDITIONS
@torch.no_grad()
def test_a_code_sees_the_codes_before_it_alone(config: LlamaGenConfig) -> None:
    llama, ids_BL = network(config), ids(config)
    changed = ids_BL.clone()
    changed[:, 7] = (changed[:, 7] + 1) % config.vocab
    before, after = (teacher_forced(llama, one, given(config)) for one in (ids_BL, changed))
    assert before[:, :8].equal(after[:, :8])
    assert bool((before[:, 8:] != after[:, 8:]).any(dim=2).all())


@torch.no_grad()
def test_words_of_padding_are_seen_by_nobody() -> None:
    llama, ids_BL = network(tiny.CAPTIONED), ids(tiny.CAPTIONED)
    one = given(tiny.CAPTIONED)
    assert one.text is not None
    other = one._replace(text=torch.where(OPEN[..., None] > 0, one.text, 100.0))
    assert teacher_forced(llama, ids_BL, one).equal(teacher_forced(llama, ids_BL, other))


@CONDITIONS
@torch.no_grad()
def test_rows_do_not_influence_each_other(config: LlamaGenConfig) -> None:
    llama, ids_BL = network(config), ids(config)
    together = teacher_forced(llama, ids_BL, given(config))
    second = Given(*(None if one is None else one[1:2] for one in given(config)))
    alone = teacher_forced(llama, ids_BL[1:2], second)
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_span_after_a_span_equals_the_whole() -> None:
    llama = network(tiny.SEQUENCE)
    cond = llama.condition(given(tiny.SEQUENCE), null=False)
    x = torch.randn(3, 9, 32, dtype=torch.float64, generator=torch.manual_seed(3))
    feed = Feed(torch.arange(9)[None], llama.order.mask())
    half = llama.forward(x, feed, cond, span=slice(0, 1))
    whole = llama.forward(x, feed, cond)
    torch.testing.assert_close(llama.forward(half, feed, cond, span=slice(1, None)), whole, atol=0, rtol=0)


class Watched(FullCache):
    """Remembers the keys that the first layer wrote."""

    keys: list[Tensor]

    def write(self, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None) -> KV:
        if layer == 0:
            self.keys.append(k_RHnD)
        return super().write(layer, k_RHnD, v_RHnD, feed, query)


@CONDITIONS
@torch.no_grad()
def test_keys_of_the_condition_are_zero_and_those_of_codes_are_not(config: LlamaGenConfig) -> None:
    llama = network(config)
    cond = llama.condition(given(config), null=False)
    cache = Watched(config.cache_spec(3, llama.order.slots, "float64"), "cpu")
    cache.keys = []
    x = torch.cat([cond.start_RTD, llama.embed(ids(config)[:, :3])], dim=1)
    llama.forward(x, Feed(torch.arange(x.shape[1])[None], llama.order.mask()), cond, cache)
    (k_RHnD,) = cache.keys
    assert bool((k_RHnD[:, :, : config.condition_slots] == 0).all())
    assert bool((k_RHnD[:, :, config.condition_slots :] != 0).all())


def test_null_rows_stand_behind_and_take_the_padding_of_their_prompt() -> None:
    labelled, captioned = network(tiny.SEQUENCE), network(tiny.CAPTIONED)
    cond = labelled.condition(given(tiny.SEQUENCE), null=True)
    null = labelled.condition(Given(label_B=torch.full((3,), 10)), null=False)
    assert cond.start_RTD[3:].equal(null.start_RTD)
    cond = captioned.condition(given(tiny.CAPTIONED), null=True)
    assert cond.open_RT is not None and cond.open_RT[3:].equal(cond.open_RT[:3])
    assert cond.open_RT[2].tolist() == [False] * 4 + [True]
    features = captioned.get_buffer("cond_embed.null_TE")
    again = captioned.condition(Given(text=features[None], open_BT=torch.ones(1, 5)), null=False)
    torch.testing.assert_close(cond.start_RTD[3:], again.start_RTD.expand(3, -1, -1))


def test_a_negative_prompt_stands_in_place_of_the_null_rows_with_its_own_padding() -> None:
    captioned, asked = network(tiny.CAPTIONED), given(tiny.CAPTIONED)
    assert asked.text is not None and asked.open_BT is not None
    away = asked._replace(negative=asked.text.flip(0), negative_BT=asked.open_BT.flip(0))
    cond, plain = captioned.condition(away, null=True), captioned.condition(asked, null=True)
    assert cond.open_RT is not None and plain.open_RT is not None
    assert cond.start_RTD[:3].equal(plain.start_RTD[:3])
    assert cond.start_RTD[3:].equal(plain.start_RTD[:3].flip(0))
    assert cond.open_RT[3:].equal(plain.open_RT[:3].flip(0))
    assert captioned.condition(away, null=False).start_RTD.equal(plain.start_RTD[:3])


def test_padding_moves_to_the_left_as_zeros_once() -> None:
    features = torch.arange(1.0, 7).view(1, 3, 2)
    moved, open_BT = left_padded(features, torch.tensor([[1, 1, 0]]))
    assert moved.tolist() == [[[0, 0], [1, 2], [3, 4]]]
    assert open_BT.tolist() == [[False, True, True]]
    again, still = left_padded(moved, open_BT)
    assert again.equal(moved) and still.equal(open_BT)


def test_a_condition_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        network(tiny.SEQUENCE).condition(given(tiny.CAPTIONED), null=False)
    with pytest.raises(ValueError, match="text"):
        network(tiny.CAPTIONED).condition(given(tiny.SEQUENCE), null=False)
    short = Given(text=torch.zeros(1, 4, 12), open_BT=torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"\[4, 12\], not \[5, 12\]"):
        network(tiny.CAPTIONED).condition(short, null=False)


@pytest.mark.parametrize("changes", [{"classes": 0}, {"caption": tiny.CAPTIONED.caption}, {"heads": 5}])
def test_numbers_that_make_no_network_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(tiny.SEQUENCE, **changes)


def test_widths_inside_of_the_feed_forward_layers_are_the_published_ones() -> None:
    widths = {768: 2048, 1024: 2816, 1280: 3584, 1536: 4096, 2560: 6912, 3200: 8704, 4096: 11008}
    assert {width: gated_width(width) for width in widths} == widths


def test_rows_turn_the_first_pairs_and_columns_the_others() -> None:
    """Section 3 of llamagen.md, at a head of 100 values (3B): pair k turns by place * 10000^(-2k / 50)."""
    rope = Rope(axial_angles(raster(3, 3), 100, 10_000.0), zeros=2)
    turns = rope(torch.tensor([[2 + 5]]))[0, 0]  # cell 5 of a 3 x 3 grid: row 1, column 2
    rates = [10_000.0 ** (-2 * k / 50) for k in range(25)]
    angles = [1 * rate for rate in rates] + [2 * rate for rate in rates]
    expected = torch.tensor([complex(math.cos(angle), math.sin(angle)) for angle in angles])
    torch.testing.assert_close(turns, expected.to(torch.complex64))
    assert bool((rope(torch.tensor([[0, 1]])) == 0).all())
    x = torch.zeros(1, 1, 1, 100)
    x[..., 52] = 1.0  # the even value of pair 26, the second pair of columns
    turned = rotate(x, turns[None, None])
    torch.testing.assert_close(
        turned[0, 0, 0, 52:54], torch.tensor([math.cos(angles[26]), math.sin(angles[26])])
    )
    assert turned.count_nonzero() == 2


def test_casting_the_network_does_not_round_the_rotations() -> None:
    llama, at_1n = network(tiny.SEQUENCE), torch.arange(17)[None]
    assert llama.to(torch.bfloat16).rope(at_1n).equal(network(tiny.SEQUENCE).rope(at_1n))


def test_fresh_weights_find_all_codes_alike_and_come_from_the_generator_alone() -> None:
    first, again = registry.build(tiny.CAPTIONED, "cpu"), registry.build(tiny.CAPTIONED, "cpu")
    for llama in (first, again):
        assert isinstance(llama, LlamaGen)
        initialise(llama, torch.Generator().manual_seed(7))
    assert isinstance(first, LlamaGen)
    logits = teacher_forced(first, ids(tiny.CAPTIONED), Given(text=torch.randn(3, 5, 12), open_BT=OPEN))
    assert bool((logits == 0).all())
    ours, theirs = first.state_dict(), again.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert ours["code_embed.weight"].std().item() == pytest.approx(0.02, rel=0.1)
