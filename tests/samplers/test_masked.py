"""The masked walk: counts of the published plan, random orders of each picture, guidance, given tokens."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio.cache.full import FullCache
from genstudio.errors import GenstudioError
from genstudio.generators.mar import MAR
from genstudio.samplers.draws import KeyedDraws, Use
from genstudio.samplers.guidance import Constant, Guidance, Linear
from genstudio.samplers.masked import MaskedWalk
from genstudio.samplers.orders import MaskedOrder
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import DDIM, Annealed, Denoising, Fixed
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, run
from tests.releases import tiny

RECIPE = Recipe(guidance=Guidance(cfg=2.0, ramp=Linear()), steps=6, head=Denoising(steps=Fixed(5)))


@pytest.fixture(scope="module")
def network() -> MAR:
    built = tiny.network(tiny.MASKED).double()
    assert isinstance(built, MAR)
    for name, value in built.named_parameters():
        value.data *= 0.1 if "head" in name else 0.3
    return built


def job(seeds: tuple[int, ...] = (3, 4, 5), recipe: Recipe = RECIPE, **more: Any) -> Job:
    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(tiny.MASKED.cache_spec(rows, capacity, "float64", look), "cpu")

    seed_B = torch.tensor(seeds)
    given = Given(seed_B % 10, prefix=more.pop("prefix", None))
    return Job(given, seed_B, recipe, KeyedDraws(), cache, **more)


@torch.no_grad()
def sampled(network: MAR, asked: Job) -> Tensor:
    *_, done = run(MaskedWalk(network), asked)
    assert isinstance(done, Done) and done.codes.known_BL is None
    return done.codes.data[0]


@pytest.mark.parametrize(
    ("codes", "steps", "masked"),
    [
        (16, 8, (15, 14, 13, 11, 8, 6, 3, 1)),
        (16, 1, (1,)),
        (2, 2, (1, 1)),
        (256, 256, (*range(255, 0, -1), 1)),
    ],
)
def test_the_plan_is_the_published_one(codes: int, steps: int, masked: tuple[int, ...]) -> None:
    assert MaskedOrder(codes, steps).masked() == masked


@pytest.mark.parametrize("codes", [1, 2, 7, 64, 256])
def test_units_make_every_token_once_and_one_at_least(codes: int) -> None:
    for steps in range(1, codes + 1):
        units = MaskedOrder(codes, steps).units()
        assert len(units) == steps
        assert units[0].made.start == 0 and units[-1].made.stop == codes
        assert all(before.made.stop == after.made.start for before, after in pairwise(units))
        assert all(len(unit.made) for unit in units)


def test_the_last_step_has_less_than_the_full_guidance() -> None:
    """Officially the last iteration counts one token as masked (mar.py, the clamp of the plan)."""
    units = MaskedOrder(256, 64).units()
    assert units[-1].progress == 255 / 256
    assert Guidance(cfg=2.9, ramp=Linear()).weight(units[-1].progress) == pytest.approx(1 + 1.9 * 255 / 256)


@pytest.mark.parametrize("steps", [0, 17])
def test_more_steps_than_tokens_are_refused(network: MAR, steps: int) -> None:
    with pytest.raises(GenstudioError, match=f"{steps} steps cannot make 16 tokens") as caught:
        MaskedWalk(network).start(job(recipe=replace(RECIPE, steps=steps)))
    assert "--steps from 1 to 16" in caught.value.hint


def test_a_picture_is_the_same_in_any_batch(network: MAR) -> None:
    together = sampled(network, job())
    assert together.shape == (3, 4, 4, 4)
    torch.testing.assert_close(sampled(network, job((4,)))[0], together[1])
    assert not torch.allclose(together[0], together[1])


def test_pictures_have_orders_of_their_own_read_from_the_end(network: MAR) -> None:
    state = MaskedWalk(network).start(job())
    official_BL = KeyedDraws().order(Use.ORDER, torch.tensor([3, 4, 5]), 16)
    assert state.place_BL.equal(official_BL.flip(-1))
    assert not state.place_BL[0].equal(state.place_BL[1])


@torch.no_grad()
def test_previews_show_what_is_known_and_grow_to_the_picture(network: MAR) -> None:
    seen: list[Codes] = []
    for step in run(MaskedWalk(network), job()):
        if isinstance(step, Done):
            assert seen[-1].data[0].equal(step.codes.data[0])
        else:
            seen.append(step.preview())
            assert step.total == 16
    assert seen[-1].known_BL is None
    for before, after in pairwise(seen[:-1]):
        assert before.known_BL is not None and after.known_BL is not None
        assert (before.known_BL <= after.known_BL).all()
        kept = before.known_BL.view(3, 1, 4, 4)
        assert (before.data[0] * kept).equal(after.data[0] * kept)
        assert not (before.data[0] * ~kept).any()


def test_guidance_mixes_what_the_head_predicts(network: MAR) -> None:
    """At weight 0 the null rows decide alone: a picture of no class."""
    unguided = Guidance(cfg=0.0, ramp=Constant())
    nothing = sampled(network, job(recipe=replace(RECIPE, guidance=unguided, head=_ddim())))
    asked = job(recipe=replace(RECIPE, guidance=None, head=_ddim()))
    of_none = asked._replace(given=Given(torch.full((3,), tiny.MASKED.classes)))
    torch.testing.assert_close(nothing, sampled(network, of_none))
    assert not torch.allclose(nothing, sampled(network, asked))


def _ddim() -> Denoising:
    """No variance, which guidance leaves to the condition."""
    return Denoising(steps=Fixed(5), chain=DDIM())


def test_null_rows_that_have_no_say_change_nothing(network: MAR) -> None:
    plain = job(recipe=replace(RECIPE, guidance=Guidance(cfg=1.0)))
    torch.testing.assert_close(sampled(network, plain), sampled(network, plain._replace(always_null=True)))


def test_temperature_acts_on_the_noise_of_steps_and_not_on_the_first(network: MAR) -> None:
    def at(temperature: float, chain: Any = Denoising(steps=Fixed(5)).chain) -> Tensor:
        head = Denoising(steps=Fixed(5), chain=chain, temperature=temperature)
        return sampled(network, job(recipe=replace(RECIPE, head=head)))

    assert not torch.allclose(at(1.0), at(0.5))
    assert at(1.0, DDIM()).equal(at(0.5, DDIM()))


def test_annealing_from_a_count_to_itself_is_the_fixed_count(network: MAR) -> None:
    """Under the same clip (DiSA, arXiv 2505.20297)."""
    heads = (Denoising(steps=rule) for rule in (Fixed(7), Annealed(7, 7), Annealed(9, 7, "constant")))
    made = [sampled(network, job(recipe=replace(RECIPE, head=head))) for head in heads]
    assert made[0].equal(made[1]) and made[0].equal(made[2])


def _prefix(known_hw: Tensor) -> Codes:
    latents = torch.randn(1, 4, 4, 4, generator=torch.manual_seed(8)).double()
    return Codes("latents", (latents.expand(3, -1, -1, -1),), known_hw.view(1, 16).expand(3, -1))


def test_given_tokens_stand_and_the_others_are_made_around_them(network: MAR) -> None:
    known_hw = torch.zeros(4, 4, dtype=torch.bool)
    known_hw[:, :2] = True
    prefix = _prefix(known_hw)
    made = sampled(network, job(prefix=prefix))
    assert made[:, :, :, :2].equal(prefix.data[0][:, :, :, :2].float())
    free = sampled(network, job())
    assert not torch.allclose(made[:, :, :, 2:], free[:, :, :, 2:])
    assert not torch.allclose(made[0], made[1])


@pytest.mark.parametrize(("known", "units"), [(16, 0), (15, 1), (13, 3), (2, 6)])
def test_no_more_steps_are_taken_than_tokens_are_left(network: MAR, known: int, units: int) -> None:
    prefix = _prefix(torch.arange(16) < known)
    state = MaskedWalk(network).start(job(prefix=prefix))
    assert len(state.units) == units and state.done == known
    assert sampled(network, job(prefix=prefix)).shape == (3, 4, 4, 4)


def test_tokens_of_several_cells_are_known_where_all_of_their_cells_are() -> None:
    config = replace(tiny.MASKED, patch=2, side=2)
    network = tiny.network(config).double()
    assert isinstance(network, MAR)
    known_hw = torch.ones(4, 4, dtype=torch.bool)
    known_hw[0, 0] = False
    with torch.no_grad():
        state = MaskedWalk(network).start(job(prefix=_prefix(known_hw), recipe=replace(RECIPE, steps=4)))
    assert state.known == 3 and (state.place_BL[:, 3] == 0).all()


def test_a_part_of_a_walk_stops_after_so_many_units(network: MAR) -> None:
    walk = MaskedWalk(network)
    *_, done = run(walk, job(until=2))
    assert done.codes.known_BL is not None
    assert done.codes.known_BL.sum(1).tolist() == [walk.start(job()).units[1].made.stop] * 3


def test_a_recipe_that_says_nothing_of_heads_is_refused(network: MAR) -> None:
    walk = MaskedWalk(network)
    advance = partial(walk.advance, walk.start(job(recipe=Recipe(steps=4))))
    with torch.no_grad(), pytest.raises(GenstudioError, match="how tokens are denoised"):
        advance()
