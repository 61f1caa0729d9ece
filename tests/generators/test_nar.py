"""NAR as a pure network: units through a cache equal one masked pass, each head predicts along its axis."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.cache.full import FullCache
from genstudio.cache.ragged import RaggedCache
from genstudio.configs.nar import NARConfig
from genstudio.generators.nar import NAR, hidden_states, initialise, teacher_forced
from genstudio.nn.masks import lower
from genstudio.samplers.values import Causal, Cond, Feed, Given
from tests.releases import tiny

CONFIGS = [tiny.NEIGHBOUR, tiny.NEIGHBOUR_CAPTIONED]
CONDITIONS = pytest.mark.parametrize("config", CONFIGS, ids=["classes", "caption"])
OPEN = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
SIDE = tiny.NEIGHBOUR.side
CELLS = [(row, column) for row in range(SIDE) for column in range(SIDE)]


def network(config: NARConfig) -> NAR:
    built = tiny.network(config).double()
    assert isinstance(built, NAR)
    for value in built.parameters():
        value.data *= 0.3
    return built


def given(config: NARConfig) -> Given:
    """Three pictures: labels, or features of 3, 5 and 1 words padded on the right."""
    if config.caption is None:
        return Given(label_B=torch.tensor([1, 5, 9]))
    shape = (3, config.caption.slots, config.caption.width)
    return Given(text=torch.randn(shape, generator=torch.manual_seed(1)).double(), open_BT=OPEN)


def ids(config: NARConfig, batch: int = 3) -> Tensor:
    return torch.randint(config.vocab, (batch, config.codes), generator=torch.manual_seed(2))


@CONDITIONS
@pytest.mark.parametrize("kind", [FullCache, RaggedCache])
@torch.no_grad()
def test_unit_by_unit_equals_one_masked_pass(
    config: NARConfig, kind: type[FullCache] | type[RaggedCache]
) -> None:
    nar, cells = network(config), network(config).order.cells()
    cond = nar.condition(given(config), null=True)
    ids_RL = cond.spread(ids(config))
    whole = hidden_states(nar, ids_RL, cond)
    cache = kind(config.cache_spec(6, nar.order.slots, "float64"), "cpu")
    parts, made = [], range(0)
    for unit in nar.order.units():
        at_1n = nar.at_S[None, unit.fed.start : unit.fed.stop]
        feed = Feed(at_1n) if made else Feed(at_1n, Causal(), cond.open_RT)
        x = nar.embed(ids_RL[:, cells[made.start : made.stop]]) if made else cond.start_RTD
        parts.append(nar.forward(x, feed, cond, cache))
        cache.commit(len(unit.fed))
        made = unit.made
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-9, rtol=0)


@CONDITIONS
def test_the_mask_is_the_published_one(config: NARConfig) -> None:
    """A code sees the condition and all codes at most as far from the first as it is itself, its own unit to
    both sides; the condition is causal; words of padding are seen by themselves alone."""
    nar, condition = network(config), config.condition_slots
    mask, at_S = nar.order.mask(), nar.at_S[: nar.order.slots]
    assert sum(mask.sizes) == nar.order.slots
    open_RT = OPEN.flip(1).bool() if config.caption else None
    cond = Cond(torch.zeros(3, condition, 1), open_RT=open_RT)
    lowered = lower(Feed(at_S[None], mask, cond.open_through(len(at_S))), len(at_S), 0, None)
    assert lowered is not None
    allowed = torch.empty_like(lowered[:, 0])
    allowed[:, at_S[:, None], at_S] = lowered[:, 0]
    for picture, rows in enumerate(allowed.tolist()):
        for query, row in enumerate(rows):
            for key, seen in enumerate(row):
                if max(query, key) < condition:
                    expected = key <= query
                elif key < condition:
                    expected = True
                elif query < condition:
                    expected = False
                else:
                    expected = sum(CELLS[key - condition]) <= sum(CELLS[query - condition])
                if open_RT is not None and key < condition and not open_RT[picture, key]:
                    expected = key == query
                assert seen is expected


@CONDITIONS
@torch.no_grad()
def test_a_code_is_predicted_from_all_codes_that_are_nearer(config: NARConfig) -> None:
    nar, ids_BL = network(config), ids(config)
    changed, (row, column) = ids_BL.clone(), CELLS[6]
    changed[:, 6] = (changed[:, 6] + 1) % config.vocab
    before, after = (teacher_forced(nar, one, given(config)) for one in (ids_BL, changed))
    differs_L = (before != after).any(dim=2).all(dim=0)
    assert differs_L.tolist() == [sum(cell) > row + column for cell in CELLS]
    assert before[:, ~differs_L].equal(after[:, ~differs_L])


@CONDITIONS
@torch.no_grad()
def test_logits_are_the_mean_over_the_neighbours_that_there_are(config: NARConfig) -> None:
    """The code to the right of a place is the first head's, the code below the second's, a block deeper; the
    first code is both heads' at the last slot of the condition."""
    nar, ids_BL = network(config), ids(config)
    cond = nar.condition(given(config), null=False)
    states = hidden_states(nar, ids_BL, cond)
    right, below = (nar.heads[axis](nar.norms[axis](states[:, :, axis])).float() for axis in range(2))
    fed = {int(slot) - config.condition_slots: place for place, slot in enumerate(nar.at_S)}
    logits = teacher_forced(nar, ids_BL, given(config))
    for cell, (row, column) in enumerate(CELLS):
        votes = [right[:, fed[cell - 1]]] if column else []
        votes += [below[:, fed[cell - SIDE]]] if row else []
        if cell == 0:
            votes = [right[:, fed[-1]], below[:, fed[-1]]]
        expected = torch.stack(votes).mean(0)
        torch.testing.assert_close(logits[:, cell], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_right_head_reads_below_the_extra_block() -> None:
    """The trap of these weights: what the last block does is no business of the first row's."""
    nar, ids_BL = network(tiny.NEIGHBOUR), ids(tiny.NEIGHBOUR)
    before = teacher_forced(nar, ids_BL, given(tiny.NEIGHBOUR))
    nar.blocks[-1].get_parameter("mlp.down.weight").mul_(3)
    differs_L = (before != teacher_forced(nar, ids_BL, given(tiny.NEIGHBOUR))).any(2).all(0)
    assert differs_L.tolist() == [row > 0 or cell == 0 for cell, (row, _) in enumerate(CELLS)]


@torch.no_grad()
def test_exits_may_lie_several_blocks_apart() -> None:
    config = replace(tiny.NEIGHBOUR, depth=1, extra=(2,))
    nar = network(config)
    assert (config.exits, config.layers, len(nar.blocks)) == ((1, 3), 3, 3)
    x, feed = torch.randn(2, 5, 32).double(), Feed(torch.arange(5)[None])
    cond = nar.condition(Given(torch.tensor([0, 1])), null=False)
    states = nar.forward(x, feed, cond)
    first = nar.blocks[0](x, nar.rope(feed.at_Rn), feed, None, 0)
    assert states.shape == (2, 5, 2, 32)
    assert states[:, :, 0].equal(first)
    assert not states[:, :, 1].equal(first)


@torch.no_grad()
def test_words_of_padding_are_seen_by_nobody() -> None:
    nar, ids_BL = network(tiny.NEIGHBOUR_CAPTIONED), ids(tiny.NEIGHBOUR_CAPTIONED)
    one = given(tiny.NEIGHBOUR_CAPTIONED)
    assert one.text is not None
    other = one._replace(text=torch.where(OPEN[..., None] > 0, one.text, 100.0))
    assert teacher_forced(nar, ids_BL, one).equal(teacher_forced(nar, ids_BL, other))


@CONDITIONS
@torch.no_grad()
def test_rows_do_not_influence_each_other(config: NARConfig) -> None:
    nar, ids_BL = network(config), ids(config)
    together = teacher_forced(nar, ids_BL, given(config))
    second = Given(*(None if one is None else one[1:2] for one in given(config)))
    torch.testing.assert_close(together[1:2], teacher_forced(nar, ids_BL[1:2], second), atol=1e-6, rtol=0)


def test_a_grid_of_two_axes_takes_two_heads() -> None:
    with pytest.raises(ValueError, match="takes 1 extra"):
        replace(tiny.NEIGHBOUR, extra=(1, 1))
    with pytest.raises(ValueError, match="either classes or a caption"):
        replace(tiny.NEIGHBOUR, classes=0)


def test_fresh_weights_are_the_official_ones_and_come_from_the_generator_alone() -> None:
    """The head to the right is 0, the other is not: the first row finds all codes alike, up to the mean."""
    first, again = registry.build(tiny.NEIGHBOUR, "cpu"), registry.build(tiny.NEIGHBOUR, "cpu")
    for nar in (first, again):
        assert isinstance(nar, NAR)
        initialise(nar, torch.Generator().manual_seed(7))
    assert isinstance(first, NAR)
    logits = teacher_forced(first, ids(tiny.NEIGHBOUR), given(tiny.NEIGHBOUR))
    assert not logits[:, 1:SIDE].any()
    assert bool(logits[:, SIDE:].any())
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids(tiny.NEIGHBOUR).flatten())
    assert abs(loss.item() - math.log(32)) < 0.02
    ours, theirs = first.state_dict(), again.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert ours["heads.1.weight"].std().item() == pytest.approx(0.02, rel=0.1)


def test_tables_of_the_order_are_no_part_of_a_checkpoint() -> None:
    nar = network(tiny.NEIGHBOUR)
    assert not {"at_S", "slot_AL"} & nar.state_dict().keys()
    assert nar.to(torch.bfloat16).slot_AL.dtype == torch.int64
