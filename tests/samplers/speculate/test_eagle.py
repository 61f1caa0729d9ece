"""EAGLE's drafter in the loop: any tree of drafts keeps the law, and under the race every picture.

Networks are tiny, random and in float64. Shapes: B pictures, L codes of a picture, T condition slots.
"""

from functools import cache
from itertools import product

import pytest
import torch
from torch import Tensor

from genstudio.cache.ragged import RaggedCache
from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.generators.drafter import Drafter
from genstudio.generators.llamagen import LlamaGen, teacher_forced
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe, TopK
from genstudio.samplers.speculate.eagle import Eagle, padded_mask
from genstudio.samplers.speculate.eagle_trees import DynamicEagle, StaticEagle
from genstudio.samplers.speculate.judges import Race
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.speculate.relaxed import Relaxed, unrelaxed
from genstudio.samplers.speculate.tree import StaticTree
from genstudio.samplers.values import Causal, Codes, Dense, Feed, Given
from genstudio.samplers.walk import Job
from tests.releases import tiny
from tests.samplers.speculate.test_loop import CONDITIONS, GUIDED, finished, given, job, network, plain
from tests.samplers.speculate.toy import follows

ALPHA = 1e-3
PATHS = [[0], [1], [2], [0, 0], [0, 1], [1, 0], [0, 0, 0]]
SMALL = LlamaGenConfig(depth=1, width=16, heads=2, hidden=24, vocab=4, side=2, classes=3)


@cache
def drafter(config: LlamaGenConfig) -> Drafter:
    numbers = DrafterConfig(
        width=config.width,
        heads=config.heads,
        hidden=config.hidden,
        vocab=config.vocab,
        side=config.side,
        condition_slots=config.condition_slots,
    )
    built = Drafter(numbers).double()
    generator = torch.Generator().manual_seed(5)
    for value in built.parameters():
        value.data.normal_(std=0.3, generator=generator)
    return built


def eagle(config: LlamaGenConfig, kind: str) -> Eagle:
    made = drafter(config)

    def cache(rows: int, capacity: int, look: int) -> RaggedCache:
        return RaggedCache(made.config.cache_spec(rows, capacity, "float64"), "cpu")

    if kind == "static":
        tree = StaticTree.from_paths(PATHS)
        return StaticEagle(target=network(config), drafter=made, cache=cache, tree=tree)
    return DynamicEagle(target=network(config), drafter=made, cache=cache, count=9, depth=2, best=3)


@CONDITIONS
@pytest.mark.parametrize("kind", ["dynamic", "static"])
@torch.no_grad()
def test_trees_under_the_race_change_no_picture(config: LlamaGenConfig, kind: str) -> None:
    seeds = torch.arange(0, 64, 4)
    walk = SpeculativeWalk(network(config), eagle(config, kind), Race())
    done = finished(walk, job(config, GUIDED, seeds))
    assert done.codes.data[0].equal(plain(config, GUIDED, seeds=seeds))
    assert done.stats["codes_per_pass"] > 1


@torch.no_grad()
def test_they_start_behind_given_codes_and_go_on_without_null_rows() -> None:
    config, seeds = tiny.SEQUENCE, torch.arange(0, 64, 8)
    recipe = Recipe(guidance=Guidance(cfg=3.0, until=9), filters=(TopK(12),))
    ids_BP = torch.randint(config.vocab, (len(seeds), 4), generator=torch.Generator().manual_seed(1))
    prefixed = given(config, seeds)._replace(prefix=Codes("ids", (ids_BP,)))
    expected = plain(config, recipe, seeds=seeds, given=prefixed)
    for kind in ("dynamic", "static"):
        walk = SpeculativeWalk(network(config), eagle(config, kind), Race())
        assert finished(walk, job(config, recipe, seeds, given=prefixed)).codes.data[0].equal(expected)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@torch.no_grad()
def test_a_picture_does_not_depend_on_its_neighbours(kind: str) -> None:
    config = tiny.CAPTIONED
    judge = Relaxed(unrelaxed(config.vocab, "cpu"))
    walk = SpeculativeWalk(network(config), eagle(config, kind), judge)
    seeds = torch.tensor([7, 0, 33, 12])
    together = finished(walk, job(config, GUIDED, seeds)).codes.data[0]
    for number in (0, 2):
        alone = finished(walk, job(config, GUIDED, seeds[number, None])).codes.data[0]
        assert alone[0].equal(together[number])


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@torch.no_grad()
def test_lantern_without_neighbours_keeps_the_law(kind: str) -> None:
    """Chi-square over all 256 pictures, 20,000 samples; error rate ALPHA."""
    target, pictures = network(SMALL), 20_000
    ids_NL = torch.tensor(list(product(range(SMALL.vocab), repeat=SMALL.codes)))
    label_N = torch.ones(len(ids_NL)).long()
    logits_NLV = teacher_forced(target, ids_NL, Given(label_B=label_N)).double()
    law_N = logits_NLV.softmax(-1).gather(2, ids_NL[..., None])[..., 0].prod(1)
    given = Given(label_B=torch.ones(pictures).long())

    def cache(rows: int, capacity: int, look: int) -> RaggedCache:
        return RaggedCache(SMALL.cache_spec(rows, capacity, "float64", look), "cpu")

    wanted = Job(given, torch.arange(pictures), Recipe(), KeyedDraws(), cache)
    judge = Relaxed(unrelaxed(SMALL.vocab, "cpu"))
    ids_BL = finished(SpeculativeWalk(target, eagle(SMALL, kind), judge), wanted).codes.data[0]
    assert follows(ids_BL, law_N, ALPHA)


def test_padding_sees_padding_before_it_and_words_behind_it() -> None:
    """Two words behind two slots of padding, one code behind them."""
    assert padded_mask(None, 5) == Causal()
    mask = padded_mask(torch.tensor([[False, False, True, True]]), 5)
    assert isinstance(mask, Dense)
    assert mask.allow[0].int().tolist() == [
        [1, 0, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]


@torch.no_grad()
def test_open_slots_have_the_features_of_the_walk() -> None:
    """However padding is read, nobody else sees it."""
    config = tiny.CAPTIONED
    target, seeds = network(config), torch.arange(6)
    cond = target.condition(given(config, seeds), null=True)
    assert cond.open_RT is not None
    at_1T = torch.arange(config.condition_slots)[None]
    walked = target.forward(cond.start_RTD, Feed(at_1T, Causal(), cond.open_RT), cond)
    official = target.forward(cond.start_RTD, Feed(at_1T, padded_mask(cond.open_RT, at_1T.shape[1])), cond)
    difference_RT = (walked - official).abs().amax(-1)
    assert float(difference_RT[cond.open_RT].max()) < 1e-12
    assert float(difference_RT[~cond.open_RT].min()) > 1e-6


def test_what_is_read_of_the_target_are_its_logits() -> None:
    """Its last norm, and the head behind that."""
    target = network(tiny.SEQUENCE)
    assert isinstance(target, LlamaGen)
    h_RnC: Tensor = torch.randn(2, 3, target.config.width).double()
    cond = target.condition(Given(label_B=torch.tensor([1, 2])), null=False)
    assert target.head(target.norm(h_RnC)).float().equal(target.logits(h_RnC, cond))
