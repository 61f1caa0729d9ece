"""The walk over neighbours: what feeding unit by unit must equal, and what a picture may not depend on."""

import weakref
from itertools import product
from math import prod

import pytest
import torch
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.cache.ragged import RaggedCache
from genstudio.generators.nar import NAR, teacher_forced
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.neighbour import NeighbourWalk
from genstudio.samplers.orders import NeighbourOrder
from genstudio.samplers.recipe import Recipe, Temperature, TopK, TopP
from genstudio.samplers.sequence import SequenceState
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, Step, run
from tests.releases import tiny

PLAIN = Recipe()
GUIDED = Recipe(guidance=Guidance(cfg=2.0), filters=(Temperature(1.1), TopK(20), TopP(0.9)))
BRIEFLY = Recipe(guidance=Guidance(cfg=2.0, until=6))
CODES, SIDE = tiny.NEIGHBOUR.codes, tiny.NEIGHBOUR.side
UNITS = 2 * SIDE - 1
DISTANCE_L = torch.tensor([row + column for row in range(SIDE) for column in range(SIDE)])


@pytest.fixture(scope="module")
def nar() -> NAR:
    return _calm(tiny.NEIGHBOUR)


def _calm(config: object) -> NAR:
    network = tiny.network(config).double()
    assert isinstance(network, NAR)
    for value in network.parameters():
        value.data *= 0.3
    return network


def cache(rows: int, capacity: int, look: int) -> FullCache:
    return FullCache(tiny.NEIGHBOUR.cache_spec(rows, capacity, "float64", look), "cpu")


def job(labels: list[int], seeds: list[int], recipe: Recipe = GUIDED, **changes: object) -> Job:
    given = Given(torch.tensor(labels), prefix=changes.pop("prefix", None))  # type: ignore[arg-type]
    return Job(given, torch.tensor(seeds), recipe, KeyedDraws(), cache)._replace(**changes)


@torch.no_grad()
def walked(network: NAR, job_: Job) -> Tensor:
    *_, done = run(NeighbourWalk(network), job_)
    assert isinstance(done, Done)
    return done.codes.data[0]


def traced(network: NAR, job_: Job) -> tuple[Tensor, Tensor]:
    """Ids, and the logits [B,L,V] in raster order that each was drawn from."""
    seen: list[Tensor] = []
    ids_BL = walked(network, job_._replace(trace=lambda name, value: seen.append(value)))
    return ids_BL, torch.cat(seen, dim=1)[:, network.order.cells().argsort()]


def rows_fed(network: NAR, job_: Job) -> list[tuple[int, int]]:
    """Rows and slots of every call of the network."""
    calls: list[tuple[int, int]] = []
    hook = network.blocks[0].register_forward_hook(
        lambda _, args, output: calls.append(tuple(output.shape[:2]))
    )
    walked(network, job_)
    hook.remove()
    return calls


def forced(network: NAR, ids_BL: Tensor, labels: list[int]) -> Tensor:
    with torch.no_grad():
        return teacher_forced(network, ids_BL, Given(torch.tensor(labels)))


def test_unit_by_unit_equals_one_teacher_forced_pass(nar: NAR) -> None:
    ids_BL, logits = traced(nar, job([3, 7], [0, 1], PLAIN))
    torch.testing.assert_close(logits, forced(nar, ids_BL, [3, 7]), atol=1e-6, rtol=0)


def test_a_picture_of_g_by_g_codes_takes_2g_minus_1_calls(nar: NAR) -> None:
    """Every code but the last is fed once: the widest call feeds a whole anti-diagonal."""
    calls = rows_fed(nar, job([3], [0], PLAIN))
    assert calls == [(1, 1), (1, 1), (1, 2), (1, 3), (1, 4), (1, 3), (1, 2)]
    assert len(NeighbourOrder(1, (16, 16)).units()) == 31
    assert len(NeighbourOrder(1, (4, 16, 16)).units()) == 34


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (2, 3, 4), (1, 1), (1, 6)])
def test_an_order_lists_codes_by_distance_and_the_neighbours_that_predict_them(grid: tuple[int, ...]) -> None:
    """Against a walk over all cells by hand; raster order within a unit; heads begin with the last axis."""
    order, condition = NeighbourOrder(3, grid), 3
    places = list(product(*map(range, grid)))
    expected = sorted(range(len(places)), key=lambda cell: sum(places[cell]))
    assert order.cells().tolist() == expected
    assert order.at().tolist() == [0, 1, 2, *(condition + cell for cell in expected)]
    units = order.units()
    assert [code for unit in units for code in unit.made] == list(range(len(places)))
    assert [slot for unit in units for slot in unit.fed] == list(range(order.slots))
    assert order.slots == order.kept == condition + prod(grid) - 1
    for distance, unit in enumerate(units):
        assert {sum(places[expected[code]]) for code in unit.made} == {distance}
        assert unit.progress == distance / max(len(units) - 1, 1)
    fed = {cell: condition + code for code, cell in enumerate(expected)}
    for head, slots in enumerate(order.neighbours().tolist()):
        axis = len(grid) - 1 - head
        for cell, place in enumerate(places):
            before = (*place[:axis], place[axis] - 1, *place[axis + 1 :])
            there = condition - 1 if cell == 0 else fed[places.index(before)] if place[axis] else -1
            assert slots[cell] == there


def test_guidance_mixes_the_logits_of_both_conditions(nar: NAR) -> None:
    ids_BL, logits = traced(nar, job([3], [0]))
    given, null = forced(nar, ids_BL, [3]), forced(nar, ids_BL, [10])
    torch.testing.assert_close(logits, null + 2.0 * (given - null), atol=1e-5, rtol=0)


def test_a_picture_does_not_depend_on_its_batch(nar: NAR) -> None:
    labels, seeds = [i % 10 for i in range(20)], list(range(100, 120))
    together = walked(nar, job(labels, seeds))
    assert together[17].equal(walked(nar, job([labels[17]], [seeds[17]]))[0])
    assert together.equal(walked(nar, job(labels[::-1], seeds[::-1])).flip(0))


def test_seeds_and_labels_make_different_pictures(nar: NAR) -> None:
    codes = walked(nar, job([1, 1, 2], [5, 6, 5]))
    assert not codes[0].equal(codes[1])
    assert not codes[0].equal(codes[2])


def test_every_code_is_drawn_once_by_the_key_of_its_cell() -> None:
    """Where all codes are alike the draws alone decide: the code of cell r is the one of place r."""
    network = _calm(tiny.NEIGHBOUR)
    for head in network.heads:
        head.get_parameter("weight").data.zero_()
    seed_B = torch.tensor([4, 9])
    alike_RV = torch.full((2 * CODES, tiny.NEIGHBOUR.vocab), 1 / tiny.NEIGHBOUR.vocab)
    expected = KeyedDraws().pick(Use.TOKEN, At.grid(seed_B, torch.arange(CODES)[:, None]), alike_RV)
    assert walked(network, job([1, 2], [4, 9], PLAIN)).equal(expected.view(2, CODES))


def test_a_ragged_cache_makes_the_same_codes(nar: NAR) -> None:
    def ragged(rows: int, capacity: int, look: int) -> RaggedCache:
        return RaggedCache(tiny.NEIGHBOUR.cache_spec(rows, capacity, "float64", look), "cpu")

    for recipe in (GUIDED, BRIEFLY):
        one = job([4, 8], [1, 2], recipe)
        assert walked(nar, one).equal(walked(nar, one._replace(cache=ragged)))


def test_null_rows_change_nothing_where_the_weight_is_one(nar: NAR) -> None:
    unguided = Recipe(guidance=Guidance(cfg=1.0))
    without = walked(nar, job([4, 5], [1, 2], PLAIN))
    assert without.equal(walked(nar, job([4, 5], [1, 2], unguided)))
    assert without.equal(walked(nar, job([4, 5], [1, 2], unguided, always_null=True)))
    assert {rows for rows, _ in rows_fed(nar, job([4, 5], [1, 2], unguided))} == {2}


def test_guidance_ends_with_the_unit_before_which_that_many_codes_are_there(nar: NAR) -> None:
    """0, 1 and 3 codes are less than 6: three units are guided, and null rows leave with the fourth."""
    ids_BL, logits = traced(nar, job([3, 7], [0, 1], BRIEFLY))
    given, null = forced(nar, ids_BL, [3, 7]), forced(nar, ids_BL, [10, 10])
    guided_L = DISTANCE_L < 3
    expected = torch.where(guided_L[:, None], null + 2.0 * (given - null), given)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    assert [rows for rows, _ in rows_fed(nar, job([3, 7], [0, 1], BRIEFLY))] == [4] * 3 + [2] * 4
    assert walked(nar, job([3, 7], [0, 1], BRIEFLY, always_null=True)).equal(ids_BL)


def test_null_rows_stay_while_a_later_unit_needs_them(nar: NAR) -> None:
    rising = Recipe(guidance=Guidance(cfg=3.0, ramp=Plus()))
    assert {rows for rows, _ in rows_fed(nar, job([3], [0], rising))} == {2}


@pytest.mark.parametrize("diagonals", [1, 3, 4, 6])
def test_known_diagonals_go_in_at_once_and_the_walk_goes_on_behind_them(nar: NAR, diagonals: int) -> None:
    whole = walked(nar, job([3, 7], [0, 1]))
    known_BL = DISTANCE_L.lt(diagonals).expand(2, -1)
    begun = job([3, 7], [0, 1], prefix=Codes("ids", (whole,), known_BL))
    assert walked(nar, begun).equal(whole)
    fed = rows_fed(nar, begun)
    assert fed[0] == (4, 1 + int(known_BL[0].sum()))
    assert len(fed) == UNITS - diagonals
    with torch.no_grad():
        first = next(run(NeighbourWalk(nar), begun))
    assert isinstance(first, Step) and first.done == int(DISTANCE_L.le(diagonals).sum())


def test_a_picture_that_is_known_whole_costs_nothing(nar: NAR) -> None:
    whole = walked(nar, job([3], [0]))
    known = job([3], [0], prefix=Codes("ids", (whole,)))
    assert walked(nar, known).equal(whole)
    assert rows_fed(nar, known) == []


def test_known_codes_anywhere_keep_their_places_and_are_seen(nar: NAR) -> None:
    """Row 0 knows two diagonals and cell 10, row 1 the first cell and cell 4 alone: both walk from unit 1."""
    known_BL = torch.zeros(2, CODES, dtype=torch.bool)
    known_BL[0, [0, 1, SIDE, 10]] = True
    known_BL[1, [0, SIDE]] = True
    ids_BL = torch.randint(32, (2, CODES), generator=torch.manual_seed(4))
    seen: list[Tensor] = []
    prefix = Codes("ids", (ids_BL,), known_BL)
    made = walked(nar, job([3, 7], [0, 1], PLAIN, prefix=prefix, trace=lambda _, value: seen.append(value)))
    assert made[known_BL].equal(ids_BL[known_BL])
    expected = forced(nar, made, [3, 7])[:, nar.order.cells()[1:]]
    torch.testing.assert_close(torch.cat(seen, dim=1), expected, atol=1e-6, rtol=0)


def test_steps_count_codes_and_previews_show_the_cells_that_are_filled(nar: NAR) -> None:
    whole = walked(nar, job([0], [0]))
    distance = 0
    with torch.no_grad():
        for step in run(NeighbourWalk(nar), job([0], [0])):
            if isinstance(step, Done):
                assert step.codes.known_BL is None
                assert step.codes.data[0].equal(whole)
                break
            codes = step.preview()
            filled_1L = DISTANCE_L.le(distance)[None]
            assert (step.done, step.total) == (int(filled_1L.sum()), CODES)
            assert (filled_1L if codes.known_BL is None else codes.known_BL).equal(filled_1L)
            assert codes.data[0][filled_1L].equal(whole[filled_1L])
            distance += 1
    assert distance == UNITS


def test_stopping_early_leaves_the_same_beginning(nar: NAR) -> None:
    whole = walked(nar, job([2], [3]))
    with torch.no_grad():
        *_, done = run(NeighbourWalk(nar), job([2], [3], until=3))
    assert isinstance(done, Done) and done.codes.known_BL is not None
    known_L = DISTANCE_L < 3
    assert done.codes.known_BL.equal(known_L[None])
    assert done.codes.data[0][:, known_L].equal(whole[:, known_L])


def test_the_cache_is_gone_when_codes_are_decoded(nar: NAR) -> None:
    made: list[weakref.ref[FullCache]] = []

    def watched(rows: int, capacity: int, look: int) -> FullCache:
        made.append(weakref.ref(one := cache(rows, capacity, look)))
        return one

    with torch.no_grad():
        for step in run(NeighbourWalk(nar), job([0], [0], cache=watched)):
            assert (made[0]() is None) is isinstance(step, Done)


def test_a_state_is_a_value_that_another_loop_can_drive(nar: NAR) -> None:
    """Two pictures walked in turns give what they give alone: nothing is kept outside of the states."""
    walk = NeighbourWalk(nar)
    with torch.no_grad():
        states: list[SequenceState] = [walk.start(job([label], [label])) for label in (2, 6)]
        for _ in range(UNITS):
            for state in states:
                walk.advance(state)
    assert all(state.finished for state in states)
    for state, label in zip(states, (2, 6), strict=True):
        assert walk.codes(state).data[0].equal(walked(nar, job([label], [label])))


def test_captions_of_different_lengths_do_not_touch_each_other() -> None:
    network = _calm(tiny.NEIGHBOUR_CAPTIONED)
    text = torch.randn(3, 5, 12, generator=torch.manual_seed(1)).double()
    open_BT = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])

    def of(rows: slice) -> Tensor:
        given = Given(text=text[rows], open_BT=open_BT[rows])
        return walked(network, Job(given, torch.arange(3)[rows], GUIDED, KeyedDraws(), cache))

    together = of(slice(None))
    assert all(together[row].equal(of(slice(row, row + 1))[0]) for row in range(3))
