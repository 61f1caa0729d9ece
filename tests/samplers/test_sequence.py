"""The walk along a sequence: what feeding code by code must equal, and what a picture may not depend on."""

import weakref

import pytest
import torch
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.cache.ragged import RaggedCache
from genstudio.generators.llamagen import LlamaGen, teacher_forced
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.orders import RasterOrder
from genstudio.samplers.recipe import Recipe, Temperature, TopK, TopP
from genstudio.samplers.sequence import SequenceState, SequenceWalk
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, Step, run
from tests.releases import tiny

PLAIN = Recipe()
GUIDED = Recipe(guidance=Guidance(cfg=2.0), filters=(Temperature(1.1), TopK(20), TopP(0.9)))
BRIEFLY = Recipe(guidance=Guidance(cfg=2.0, until=6))
CODES = tiny.SEQUENCE.codes


@pytest.fixture(scope="module")
def llama() -> LlamaGen:
    return _calm(tiny.SEQUENCE)


def _calm(config: object) -> LlamaGen:
    network = tiny.network(config).double()
    assert isinstance(network, LlamaGen)
    for value in network.parameters():
        value.data *= 0.3
    return network


def cache(rows: int, capacity: int, look: int) -> FullCache:
    return FullCache(tiny.SEQUENCE.cache_spec(rows, capacity, "float64", look), "cpu")


def job(labels: list[int], seeds: list[int], recipe: Recipe = GUIDED, **changes: object) -> Job:
    given = Given(torch.tensor(labels), prefix=changes.pop("prefix", None))  # type: ignore[arg-type]
    return Job(given, torch.tensor(seeds), recipe, KeyedDraws(), cache)._replace(**changes)


@torch.no_grad()
def walked(network: LlamaGen, job_: Job) -> Tensor:
    *_, done = run(SequenceWalk(network), job_)
    assert isinstance(done, Done)
    return done.codes.data[0]


def traced(network: LlamaGen, job_: Job) -> tuple[Tensor, Tensor]:
    """Ids, and the logits [B,L,V] that each was drawn from."""
    seen: list[Tensor] = []
    ids_BL = walked(network, job_._replace(trace=lambda name, value: seen.append(value)))
    return ids_BL, torch.cat(seen, dim=1)


def rows_fed(network: LlamaGen, job_: Job) -> list[tuple[int, int]]:
    """Rows and slots of every call of the network."""
    calls: list[tuple[int, int]] = []
    hook = network.blocks[0].register_forward_hook(
        lambda _, args, output: calls.append(tuple(output.shape[:2]))
    )
    walked(network, job_)
    hook.remove()
    return calls


def test_code_by_code_equals_one_teacher_forced_pass(llama: LlamaGen) -> None:
    ids_BL, logits = traced(llama, job([3, 7], [0, 1], PLAIN))
    with torch.no_grad():
        whole = teacher_forced(llama, ids_BL, Given(torch.tensor([3, 7])))
    torch.testing.assert_close(logits, whole, atol=1e-6, rtol=0)


def test_guidance_mixes_the_logits_of_both_conditions(llama: LlamaGen) -> None:
    ids_BL, logits = traced(llama, job([3], [0]))
    with torch.no_grad():
        given, null = (teacher_forced(llama, ids_BL, Given(torch.tensor([label]))) for label in (3, 10))
    torch.testing.assert_close(logits, null + 2.0 * (given - null), atol=1e-5, rtol=0)


def test_a_picture_does_not_depend_on_its_batch(llama: LlamaGen) -> None:
    labels, seeds = [i % 10 for i in range(20)], list(range(100, 120))
    together = walked(llama, job(labels, seeds))
    assert together[17].equal(walked(llama, job([labels[17]], [seeds[17]]))[0])
    assert together.equal(walked(llama, job(labels[::-1], seeds[::-1])).flip(0))


def test_seeds_and_labels_make_different_pictures(llama: LlamaGen) -> None:
    codes = walked(llama, job([1, 1, 2], [5, 6, 5]))
    assert not codes[0].equal(codes[1])
    assert not codes[0].equal(codes[2])


def test_a_ragged_cache_makes_the_same_codes(llama: LlamaGen) -> None:
    def ragged(rows: int, capacity: int, look: int) -> RaggedCache:
        return RaggedCache(tiny.SEQUENCE.cache_spec(rows, capacity, "float64", look), "cpu")

    for recipe in (GUIDED, BRIEFLY):
        one = job([4, 8], [1, 2], recipe)
        assert walked(llama, one).equal(walked(llama, one._replace(cache=ragged)))


def test_null_rows_change_nothing_where_the_weight_is_one(llama: LlamaGen) -> None:
    unguided = Recipe(guidance=Guidance(cfg=1.0))
    without = walked(llama, job([4, 5], [1, 2], PLAIN))
    assert without.equal(walked(llama, job([4, 5], [1, 2], unguided)))
    assert without.equal(walked(llama, job([4, 5], [1, 2], unguided, always_null=True)))
    assert {rows for rows, _ in rows_fed(llama, job([4, 5], [1, 2], unguided))} == {2}


def test_null_rows_leave_when_guidance_ends(llama: LlamaGen) -> None:
    ids_BL, logits = traced(llama, job([3, 7], [0, 1], BRIEFLY))
    with torch.no_grad():
        given = teacher_forced(llama, ids_BL, Given(torch.tensor([3, 7])))
        null = teacher_forced(llama, ids_BL, Given(torch.tensor([10, 10])))
    torch.testing.assert_close(logits[:, :6], (null + 2.0 * (given - null))[:, :6], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits[:, 6:], given[:, 6:], atol=1e-5, rtol=0)
    assert [rows for rows, _ in rows_fed(llama, job([3, 7], [0, 1], BRIEFLY))] == [4] * 6 + [2] * 10
    assert walked(llama, job([3, 7], [0, 1], BRIEFLY, always_null=True)).equal(ids_BL)


def test_null_rows_stay_while_a_later_code_needs_them(llama: LlamaGen) -> None:
    rising = Recipe(guidance=Guidance(cfg=3.0, ramp=Plus()))
    assert {rows for rows, _ in rows_fed(llama, job([3], [0], rising))} == {2}


def test_every_slot_is_fed_once_and_the_last_code_never(llama: LlamaGen) -> None:
    assert rows_fed(llama, job([3], [0], PLAIN)) == [(1, 1)] * CODES
    units = RasterOrder(condition=5, codes=4).units()
    assert [unit.fed for unit in units] == [range(5), range(5, 6), range(6, 7), range(7, 8)]
    assert [unit.made for unit in units] == [range(code, code + 1) for code in range(4)]
    assert [unit.progress for unit in units] == [0, 1 / 3, 2 / 3, 1]


@pytest.mark.parametrize("known", [1, 5, 15])
def test_codes_known_before_go_in_at_once_and_the_walk_goes_on_behind_them(
    llama: LlamaGen, known: int
) -> None:
    whole = walked(llama, job([3, 7], [0, 1]))
    begun = job([3, 7], [0, 1], prefix=Codes("ids", (whole[:, :known],)))
    assert walked(llama, begun).equal(whole)
    assert rows_fed(llama, begun) == [(4, 1 + known)] + [(4, 1)] * (CODES - known - 1)
    with torch.no_grad():
        first = next(run(SequenceWalk(llama), begun))
    assert isinstance(first, Step) and first.done == known + 1


def test_a_picture_that_is_known_whole_costs_nothing(llama: LlamaGen) -> None:
    whole = walked(llama, job([3], [0]))
    known = job([3], [0], prefix=Codes("ids", (whole,)))
    assert walked(llama, known).equal(whole)
    assert rows_fed(llama, known) == []


def test_known_codes_further_on_keep_their_places(llama: LlamaGen) -> None:
    """Row 0 knows codes 0, 1 and 9, row 1 knows code 0 alone: both walk from code 1 on."""
    known_BL = torch.zeros(2, CODES, dtype=torch.bool)
    known_BL[0, [0, 1, 9]] = True
    known_BL[1, 0] = True
    ids_BL = torch.randint(32, (2, CODES), generator=torch.manual_seed(4))
    made, logits = traced(llama, job([3, 7], [0, 1], PLAIN, prefix=Codes("ids", (ids_BL,), known_BL)))
    assert made[known_BL].equal(ids_BL[known_BL])
    with torch.no_grad():
        whole = teacher_forced(llama, made, Given(torch.tensor([3, 7])))
    torch.testing.assert_close(logits, whole[:, 1:], atol=1e-6, rtol=0)


def test_steps_count_codes_and_previews_show_those_that_are_known(llama: LlamaGen) -> None:
    whole = walked(llama, job([0], [0]))
    with torch.no_grad():
        for step in run(SequenceWalk(llama), job([0], [0])):
            if isinstance(step, Done):
                assert step.codes.known_BL is None
                assert step.codes.data[0].equal(whole)
                break
            assert step.total == CODES
            codes = step.preview()
            known = codes.known_BL if codes.known_BL is not None else torch.ones(1, CODES, dtype=torch.bool)
            assert known.sum() == step.done
            assert codes.data[0][known].equal(whole[known])


def test_stopping_early_leaves_the_same_beginning(llama: LlamaGen) -> None:
    whole = walked(llama, job([2], [3]))
    with torch.no_grad():
        *_, done = run(SequenceWalk(llama), job([2], [3], until=5))
    assert isinstance(done, Done) and done.codes.known_BL is not None
    assert done.codes.known_BL.tolist() == [[True] * 5 + [False] * 11]
    assert done.codes.data[0][:, :5].equal(whole[:, :5])


def test_the_cache_is_gone_when_codes_are_decoded(llama: LlamaGen) -> None:
    made: list[weakref.ref[FullCache]] = []

    def watched(rows: int, capacity: int, look: int) -> FullCache:
        made.append(weakref.ref(one := cache(rows, capacity, look)))
        return one

    with torch.no_grad():
        for step in run(SequenceWalk(llama), job([0], [0], cache=watched)):
            assert (made[0]() is None) is isinstance(step, Done)


def test_a_state_is_a_value_that_another_loop_can_drive(llama: LlamaGen) -> None:
    """Two pictures walked in turns give what they give alone: nothing is kept outside of the states."""
    walk = SequenceWalk(llama)
    with torch.no_grad():
        states: list[SequenceState] = [walk.start(job([label], [label])) for label in (2, 6)]
        for _ in range(CODES):
            for state in states:
                walk.advance(state)
    assert all(state.finished for state in states)
    for state, label in zip(states, (2, 6), strict=True):
        assert walk.codes(state).data[0].equal(walked(llama, job([label], [label])))


def test_captions_of_different_lengths_do_not_touch_each_other() -> None:
    network = _calm(tiny.CAPTIONED)
    text = torch.randn(3, 5, 12, generator=torch.manual_seed(1)).double()
    open_BT = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])

    def of(rows: slice) -> Tensor:
        given = Given(text=text[rows], open_BT=open_BT[rows])
        return walked(network, Job(given, torch.arange(3)[rows], GUIDED, KeyedDraws(), cache))

    together = of(slice(None))
    assert all(together[row].equal(of(slice(row, row + 1))[0]) for row in range(3))
