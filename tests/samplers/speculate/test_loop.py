"""The draft-verify loop on LlamaGen: exact where it says so, for every picture as if it were alone.

Networks are tiny, random and in float64, where nothing but the rounding of logits to float32 could make two
ways of computing differ. Shapes: B pictures, L codes of a picture.
"""

from functools import cache

import pytest
import torch
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.cache.ragged import RaggedCache
from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.generators.llamagen import LlamaGen
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.guidance import Between, Guidance
from genstudio.samplers.recipe import Recipe, Temperature, TopK
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.speculate.draft_model import DraftModel
from genstudio.samplers.speculate.judges import Race, Speculative
from genstudio.samplers.speculate.kseq import KSeq
from genstudio.samplers.speculate.loop import SpeculativeWalk
from genstudio.samplers.speculate.proposal import Judge
from genstudio.samplers.speculate.proposers import Jacobi, Proposer, Scheme
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, Step, Walk, run
from tests.releases import tiny

CONFIGS = [tiny.SEQUENCE, tiny.CAPTIONED]
CONDITIONS = pytest.mark.parametrize("config", CONFIGS, ids=["classes", "caption"])
GUIDED = Recipe(guidance=Guidance(cfg=2.0), filters=(Temperature(0.9), TopK(12)))
PICTURES = 64


@cache
def network(config: LlamaGenConfig, seed: int = 0) -> LlamaGen:
    """Sharp enough that drafts are accepted, flat enough that they are refused."""
    built = tiny.network(config).double()
    assert isinstance(built, LlamaGen)
    generator = torch.Generator().manual_seed(seed)
    for value in built.parameters():
        value.data.normal_(std=0.3, generator=generator)
    return built


def given(config: LlamaGenConfig, seeds: Tensor) -> Given:
    """Labels, or features of 1 to T words: those of picture s depend on s alone."""
    if config.caption is None:
        return Given(label_B=seeds % config.classes)
    slots, width = config.caption.slots, config.caption.width
    words = torch.randn(PICTURES, slots, width, generator=torch.manual_seed(1)).double()
    open_BT = torch.arange(slots) <= seeds[:, None] % slots
    return Given(text=words[seeds], open_BT=open_BT)


def caches(config: LlamaGenConfig, kind: type[FullCache] | type[RaggedCache] = RaggedCache):
    return lambda rows, capacity, look: kind(config.cache_spec(rows, capacity, "float64", look), "cpu")


def job(config: LlamaGenConfig, recipe: Recipe, seeds: Tensor | None = None, **more: object) -> Job:
    seeds = torch.arange(PICTURES) if seeds is None else seeds
    kind = FullCache if more.pop("plain", False) else RaggedCache
    base = Job(given(config, seeds), seeds, recipe, KeyedDraws(), caches(config, kind))
    return base._replace(**more)  # type: ignore[arg-type]


def finished(walk: Walk, job: Job) -> Done:
    *_, done = run(walk, job)
    assert isinstance(done, Done)
    return done


def plain(config: LlamaGenConfig, recipe: Recipe, **more: object) -> Tensor:
    walk = SequenceWalk(network(config))
    return finished(walk, job(config, recipe, plain=True, **more)).codes.data[0]


def jacobi(config: LlamaGenConfig, window: int = 4, scheme: Scheme = "repeat_horizon") -> Jacobi:
    return Jacobi(codes=config.vocab, line=config.side, window=window, scheme=scheme)


def draft(config: LlamaGenConfig, count: int = 1, coupled: bool = False) -> DraftModel:
    """Another network of the same codes."""
    return DraftModel(
        trunk=network(config, seed=1), cache=caches(config), length=3, count=count, coupled=coupled
    )


@CONDITIONS
@pytest.mark.parametrize("window", [2, 3, 5, 9, 16])
@torch.no_grad()
def test_exact_jacobi_makes_the_pictures_of_the_plain_walk(config: LlamaGenConfig, window: int) -> None:
    """64 seeds, each advancing at its own pace."""
    walk = SpeculativeWalk(network(config), jacobi(config, window), Race())
    done = finished(walk, job(config, GUIDED))
    assert done.codes.data[0].equal(plain(config, GUIDED))
    assert done.stats["codes_per_pass"] > 1
    assert done.stats["passes"] <= config.codes


@CONDITIONS
@pytest.mark.parametrize("scheme", ["random", "sample_horizon"])
@torch.no_grad()
def test_it_does_whatever_fresh_drafts_are(config: LlamaGenConfig, scheme: Scheme) -> None:
    walk = SpeculativeWalk(network(config), jacobi(config, 6, scheme), Race())
    assert finished(walk, job(config, GUIDED)).codes.data[0].equal(plain(config, GUIDED))


@CONDITIONS
@pytest.mark.parametrize("coupled", [False, True])
@torch.no_grad()
def test_a_draft_network_under_the_race_changes_no_picture(config: LlamaGenConfig, coupled: bool) -> None:
    walk = SpeculativeWalk(network(config), draft(config, coupled=coupled), Race())
    assert finished(walk, job(config, GUIDED)).codes.data[0].equal(plain(config, GUIDED))


@pytest.mark.parametrize(
    "guidance", [Guidance(cfg=3.0, until=7), Guidance(cfg=3.0, ramp=Between(1.5)), None], ids=str
)
@torch.no_grad()
def test_every_code_keeps_its_own_guidance(guidance: Guidance | None) -> None:
    recipe = Recipe(guidance=guidance, filters=(TopK(12),))
    config = tiny.SEQUENCE
    walk = SpeculativeWalk(network(config), jacobi(config, 5), Race())
    assert finished(walk, job(config, recipe)).codes.data[0].equal(plain(config, recipe))


@CONDITIONS
@pytest.mark.parametrize("known", ["beginning", "scattered"])
@torch.no_grad()
def test_codes_that_are_given_stand(config: LlamaGenConfig, known: str) -> None:
    generator = torch.Generator().manual_seed(3)
    ids_BL = torch.randint(config.vocab, (PICTURES, config.codes), generator=generator)
    known_BL = torch.rand(ids_BL.shape, generator=generator) < 0.4
    if known == "beginning":
        known_BL = torch.arange(config.codes).expand_as(ids_BL) < 5
    seeds = torch.arange(PICTURES)
    prefixed = given(config, seeds)._replace(prefix=Codes("ids", (ids_BL,), known_BL))
    walk = SpeculativeWalk(network(config), jacobi(config, 5), Race())
    made_BL = finished(walk, job(config, GUIDED, given=prefixed)).codes.data[0]
    assert made_BL[known_BL].equal(ids_BL[known_BL])
    assert made_BL.equal(plain(config, GUIDED, given=prefixed))


@torch.no_grad()
def test_a_walk_may_stop_early() -> None:
    config = tiny.SEQUENCE
    walk = SpeculativeWalk(network(config), jacobi(config), Race())
    codes = finished(walk, job(config, GUIDED, until=7)).codes
    assert codes.known_BL is not None and codes.known_BL.sum(1).unique().tolist() == [7]
    assert codes.data[0][:, :7].equal(plain(config, GUIDED)[:, :7])


WAYS: list[tuple[str, Proposer, Judge]] = [
    ("sjd", jacobi(tiny.SEQUENCE), Speculative()),
    ("sjd-official", jacobi(tiny.SEQUENCE, scheme="sample_horizon"), Speculative(GUIDED.filters)),
    ("spectr", draft(tiny.SEQUENCE, 3), KSeq(3)),
    ("draft", draft(tiny.SEQUENCE), Speculative()),
]


@pytest.mark.parametrize(("name", "proposer", "judge"), WAYS, ids=[way[0] for way in WAYS])
@torch.no_grad()
def test_a_picture_does_not_depend_on_its_neighbours(name: str, proposer: Proposer, judge: Judge) -> None:
    walk = SpeculativeWalk(network(tiny.SEQUENCE), proposer, judge)
    together = finished(walk, job(tiny.SEQUENCE, GUIDED)).codes.data[0]
    for seeds in (torch.tensor([5]), torch.tensor([40, 3, 17])):
        alone = finished(walk, job(tiny.SEQUENCE, GUIDED, seeds)).codes.data[0]
        assert alone.equal(together[seeds])
    assert not together.equal(plain(tiny.SEQUENCE, GUIDED))


@torch.no_grad()
def test_progress_never_falls_and_a_preview_shows_what_is_known() -> None:
    config = tiny.SEQUENCE
    walk = SpeculativeWalk(network(config), jacobi(config), Race())
    *steps, done = run(walk, job(config, GUIDED))
    assert isinstance(done, Done)
    counts = [step.done for step in steps if isinstance(step, Step)]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == config.codes
    for number, step in enumerate(run(walk, job(config, GUIDED))):
        if number == 3 and isinstance(step, Step):
            preview = step.preview()
            assert preview.known_BL is not None
            known_BL = preview.known_BL
            assert int(known_BL.sum(1).min()) == step.done
            assert preview.data[0][known_BL].equal(done.codes.data[0][known_BL])


@torch.no_grad()
def test_statistics_count_passes_and_what_they_made() -> None:
    config = tiny.SEQUENCE
    looks: list[int] = []
    told = job(config, GUIDED, torch.tensor([3]))._replace(
        trace=lambda name, value: looks.append(value.shape[1]) if name == "drafts" else None
    )
    stats = finished(SpeculativeWalk(network(config), jacobi(config), Race()), told).stats
    assert stats["passes"] == 1 + len(looks)
    assert stats["codes_per_pass"] == pytest.approx((config.codes - 1) / len(looks))
    assert stats["accepted"] == pytest.approx(stats["codes_per_pass"] - 1)
    assert max(looks) == 4 and looks[-1] <= 4
