"""The cache contract, on two toy attention layers in float64: full and ragged cache against no cache at all.

A toy stream keeps the inputs that were committed; feeding n more must give what one pass over committed and
fed slots gives. Shapes: R rows, n slots fed, H heads, D head width.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.cache.protocol import Cache
from genstudio.cache.ragged import RaggedCache
from genstudio.cache.spec import CacheSpec
from genstudio.nn.attention import attend, remember
from genstudio.samplers.values import Causal, Dense, Feed, Full, Mask, Tree

ROWS, HEADS, WIDTH, CAPACITY = 3, 2, 4, 12
SPEC = CacheSpec(layers=2, rows=ROWS, heads=HEADS, capacity=CAPACITY, head_dim=WIDTH, dtype="float64")
Maker = Callable[[CacheSpec, str], Cache]
FIXED: Maker = partial(RaggedCache, fixed=True)
RAGGED = pytest.mark.parametrize("make", [RaggedCache, FIXED])
ALL = pytest.mark.parametrize("make", [FullCache, RaggedCache, FIXED])


class Toy:
    """Two attention layers whose queries, keys and values are fixed linear maps of the slots."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.maps = torch.randn(2, 3, HEADS * WIDTH, HEADS * WIDTH, generator=generator, dtype=torch.float64)

    def __call__(self, x_RnC: Tensor, feed: Feed, cache: Cache | None = None) -> Tensor:
        for layer, maps in enumerate(self.maps):
            q, k, v = (self.heads(x_RnC @ one) for one in maps)
            kv = remember(cache, layer, k, v, feed)
            x_RnC = x_RnC + attend(q, kv, feed, scale=0.5).transpose(1, 2).flatten(2)
        return x_RnC

    @staticmethod
    def heads(x_RnC: Tensor) -> Tensor:
        return x_RnC.unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)


def slots(count: int, seed: int, rows: int = ROWS) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, count, HEADS * WIDTH, generator=generator, dtype=torch.float64)


def feed(count: int, mask: Mask | None = None, open_Rn: Tensor | None = None) -> Feed:
    return Feed(torch.arange(count)[None], mask or Full(), open_Rn)


def step(cache: Cache, x_RnC: Tensor, keep: int | Tensor, mask: Mask | None = None) -> Tensor:
    h_RnC = Toy()(x_RnC, feed(x_RnC.shape[1], mask), cache)
    cache.commit(keep)
    return h_RnC


def without_cache(past: Tensor, x_RnC: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """One pass over what was committed in blocks of `sizes`, and the fed block."""
    blocks = torch.repeat_interleave(torch.arange(len(sizes) + 1), torch.tensor([*sizes, x_RnC.shape[1]]))
    mask = Dense(blocks[:, None] >= blocks[None, :])
    x = torch.cat([past, x_RnC], 1)
    return Toy()(x, feed(x.shape[1], mask))[:, past.shape[1] :]


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@ALL
def test_units_one_by_one_equal_one_pass(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    first, second, third = slots(1, 1), slots(4, 2), slots(3, 3)
    step(cache, first, 1)
    same(step(cache, second, 4), without_cache(first, second, (1,)))
    same(step(cache, third, 3), without_cache(torch.cat([first, second], 1), third, (1, 4)))


@ALL
def test_a_look_leaves_nothing_behind(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    past, x = slots(3, 1), slots(2, 3)
    step(cache, past, 3)
    step(cache, slots(5, 2), 0)
    same(step(cache, x, 0), without_cache(past, x, (3,)))
    same(step(cache, x, 2), without_cache(past, x, (3,)))


@ALL
def test_a_part_of_the_pending_entries_can_be_kept(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    window, x = slots(5, 1), slots(2, 2)
    step(cache, window, 2, Causal())
    same(step(cache, x, 2), without_cache(window[:, :2], x, (1, 1)))


@ALL
def test_a_second_write_replaces_the_first(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    past, x = slots(2, 1), slots(3, 3)
    step(cache, past, 2)
    Toy()(slots(4, 2), feed(4), cache)
    same(step(cache, x, 3), without_cache(past, x, (2,)))


@ALL
def test_an_exception_between_layers_leaves_the_committed_part(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    past, x = slots(2, 1), slots(3, 3)
    step(cache, past, 2)
    cache.write(
        0, torch.full((ROWS, HEADS, 4, WIDTH), 9.0), torch.full((ROWS, HEADS, 4, WIDTH), 9.0), feed(4)
    )
    same(step(cache, x, 3), without_cache(past, x, (2,)))


@ALL
def test_more_than_fits_or_is_pending_is_refused(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    step(cache, slots(10, 1), 10)
    with pytest.raises(ValueError, match="pending"):
        step(cache, slots(2, 2), 3)
    with pytest.raises(ValueError, match="capacity"):
        Toy()(slots(13, 2), feed(13), cache)


@pytest.mark.parametrize("make", [FullCache, RaggedCache])
def test_lengths_that_are_known_are_checked(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    step(cache, slots(10, 1), 10)
    with pytest.raises(ValueError, match="capacity"):
        Toy()(slots(3, 2), feed(3), cache)


@ALL
def test_a_layer_that_was_not_written_is_noticed(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    cache.write(0, torch.zeros(ROWS, HEADS, 2, WIDTH), torch.zeros(ROWS, HEADS, 2, WIDTH), feed(2))
    with pytest.raises(ValueError, match="pending"):
        cache.commit(1)


@ALL
def test_take_gathers_and_repeats_rows(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    past, x = slots(3, 1), slots(2, 2)
    step(cache, past, 3)
    rows = torch.tensor([2, 0, 0, 1])
    fork = cache.take(rows)
    expected = without_cache(past, x, (3,))
    same(step(fork, x[rows], 2), expected[rows])
    same(step(cache, x, 2), expected)


@ALL
def test_bytes_are_known_before(make: Maker) -> None:
    assert make(SPEC, "cpu").nbytes() == SPEC.nbytes == 2 * 2 * 3 * 2 * 12 * 4 * 8


@ALL
def test_closed_entries_are_seen_by_nobody_else(make: Maker) -> None:
    """Padded text: row 1 has two closed slots, row 2 one. Their contents change nothing, then or later."""
    open_Rn = torch.tensor([[1, 1, 1], [0, 0, 1], [0, 1, 1]]).bool()
    text, more = slots(3, 1), slots(2, 2)
    results = []
    for filler in (0.0, 7.0):
        cache = make(SPEC, "cpu")
        padded = torch.where(open_Rn[..., None], text, filler)
        h_RnC = Toy()(padded, feed(3, Causal(), open_Rn), cache)
        cache.commit(3)
        results.append((h_RnC[open_Rn], step(cache, more, 2), step(cache, more, 1)))
    for a, b in zip(*results, strict=True):
        same(a, b)
    alone = make(SPEC, "cpu")
    step(alone, text[:, 2:], 1)
    same(step(alone, more, 2)[1], results[0][1][1])


@ALL
def test_tensor_commits_that_every_row_shares(make: Maker) -> None:
    past, window, x = slots(2, 1), slots(4, 2), slots(2, 3)
    for keep in (torch.full((ROWS,), 2), torch.tensor([[0, 1, -1]] * ROWS)):
        cache = make(SPEC, "cpu")
        step(cache, past, 2)
        step(cache, window, keep, Causal())
        same(step(cache, x, 2), without_cache(torch.cat([past, window[:, :2]], 1), x, (2, 1, 1)))


@pytest.mark.parametrize("keep", [torch.tensor([1, 2, 2]), torch.tensor([[0, 2]] * ROWS)])
def test_the_full_cache_points_to_the_ragged_one(keep: Tensor) -> None:
    cache = FullCache(SPEC, "cpu")
    Toy()(slots(3, 1), feed(3), cache)
    with pytest.raises(ValueError, match="RaggedCache"):
        cache.commit(keep)


@RAGGED
def test_rows_keep_different_counts(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    past, window, x = slots(2, 1), slots(4, 2), slots(3, 3)
    step(cache, past, 2)
    step(cache, window, torch.tensor([0, 3, 4]), Causal())
    h_RnC = step(cache, x, torch.tensor([3, 1, 2]))
    for row, kept in enumerate((0, 3, 4)):
        before = torch.cat([past, window[:, :kept]], 1)[row : row + 1]
        same(h_RnC[row : row + 1], without_cache(before, x[row : row + 1], (2, *[1] * kept)))
    assert isinstance(cache, RaggedCache) and cache.length_R.tolist() == [5, 6, 8]


@RAGGED
def test_rows_keep_different_paths_of_a_tree(make: Maker) -> None:
    """Nodes 0 and 1 are roots, 2 and 3 children of 0, 4 a child of 3."""
    tree = Tree((-1, -1, 0, 0, 3))
    cache = make(SPEC, "cpu")
    past, nodes, x = slots(2, 1), slots(5, 2), slots(2, 3)
    step(cache, past, 2)
    paths = [[0, 3, 4], [1], []]
    padded = torch.tensor([path + [-1] * (3 - len(path)) for path in paths])
    step(cache, nodes, padded, tree)
    h_RnC = step(cache, x, 2)
    for row, path in enumerate(paths):
        before = torch.cat([past, nodes[:, path]], 1)[row : row + 1]
        same(h_RnC[row : row + 1], without_cache(before, x[row : row + 1], (2, *[1] * len(path))))


@RAGGED
def test_a_row_may_end_at_the_capacity(make: Maker) -> None:
    cache = make(SPEC, "cpu")
    past, window = slots(8, 1), slots(4, 2)
    step(cache, past, 8)
    h_RnC = step(cache, window, torch.tensor([4, 3, 0]), Causal())
    assert isinstance(cache, RaggedCache) and cache.length_R.tolist() == [12, 11, 8]
    fork = cache.take(torch.tensor([2]))
    same(step(fork, window[2:], 4, Causal()), h_RnC[2:])


LOOKED = replace(SPEC, capacity=5, look=7)


def test_a_look_past_the_capacity_sees_what_every_layer_committed() -> None:
    cache = FullCache(LOOKED, "cpu")
    past, x = slots(5, 1), slots(7, 2)
    step(cache, past, 5)
    for _ in range(2):
        same(step(cache, x, 0), without_cache(past, x, (5,)))


def test_a_look_is_never_kept_and_not_larger_than_said() -> None:
    cache = FullCache(LOOKED, "cpu")
    step(cache, slots(4, 1), 4)
    with pytest.raises(ValueError, match="look"):
        step(cache, slots(2, 2), 1)
    with pytest.raises(ValueError, match="capacity"):
        Toy()(slots(9, 2), feed(9), cache)
    x = slots(1, 3)
    same(step(cache, x, 1), without_cache(slots(4, 1), x, (4,)))


def test_closed_entries_stay_closed_in_a_look() -> None:
    cache = FullCache(LOOKED, "cpu")
    open_Rn = torch.tensor([[1, 1], [0, 1], [1, 1]]).bool()
    Toy()(slots(2, 1), feed(2, Causal(), open_Rn), cache)
    cache.commit(2)
    alone = FullCache(LOOKED, "cpu")
    step(alone, slots(2, 1)[:, 1:], 1, Causal())
    x = slots(6, 2)
    same(step(cache, x, 0)[1], step(alone, x, 0)[1])


def test_bytes_of_a_look_are_those_of_one_layer() -> None:
    cache = FullCache(LOOKED, "cpu")
    assert cache.nbytes() == LOOKED.nbytes == 2 * 3 * 2 * (2 * 5 + 12) * 4 * 8
    fork = cache.take(torch.tensor([0, 1]))
    assert fork.nbytes() == replace(LOOKED, rows=2).nbytes
