"""The scale walk: what feeding unit by unit must equal, and what a picture may not depend on."""

import weakref

import pytest
import torch

from genstudio.cache.full import FullCache
from genstudio.generators.var import VAR, teacher_forced
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe, TopK, TopP
from genstudio.samplers.scale import ScaleWalk
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, Step, run
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from tests.releases import tiny

PLAIN = Recipe()
GUIDED = Recipe(guidance=Guidance(cfg=2.0, ramp=Plus()), filters=(TopK(20), TopP(0.9)))


@pytest.fixture(scope="module")
def networks() -> tuple[VAR, MultiScaleVQ]:
    var, tokenizer = tiny.network(tiny.GENERATOR).double(), tiny.network(tiny.VQ).double()
    for value in var.parameters():
        value.data *= 0.15
    assert isinstance(var, VAR) and isinstance(tokenizer, MultiScaleVQ)
    return var, tokenizer


def cache(rows: int, capacity: int, look: int) -> FullCache:
    return FullCache(tiny.GENERATOR.cache_spec(rows, capacity, "float64", look), "cpu")


def job(labels: list[int], seeds: list[int], recipe: Recipe = GUIDED, **changes: object) -> Job:
    given = Given(torch.tensor(labels))
    return Job(given, torch.tensor(seeds), recipe, KeyedDraws(), cache)._replace(**changes)


@torch.no_grad()
def walked(networks: tuple[VAR, MultiScaleVQ], job_: Job) -> tuple[list[Step], Done]:
    var, tokenizer = networks
    *steps, done = run(ScaleWalk(var, tokenizer.pyramid), job_)
    assert isinstance(done, Done)
    return [step for step in steps if isinstance(step, Step)], done


def flat(codes: Codes) -> torch.Tensor:
    return torch.cat(codes.data, dim=1)


def test_unit_by_unit_equals_one_teacher_forced_pass(networks: tuple[VAR, MultiScaleVQ]) -> None:
    var, tokenizer = networks
    seen: list[torch.Tensor] = []
    _, done = walked(networks, job([3, 7], [0, 1], PLAIN, trace=lambda name, value: seen.append(value)))
    with torch.no_grad():
        whole = teacher_forced(var, tokenizer.pyramid.teacher(done.codes), Given(torch.tensor([3, 7])))
    torch.testing.assert_close(torch.cat(seen, dim=1), whole, atol=1e-6, rtol=0)


def test_a_picture_does_not_depend_on_its_batch(networks: tuple[VAR, MultiScaleVQ]) -> None:
    labels, seeds = [i % 10 for i in range(32)], list(range(100, 132))
    together = flat(walked(networks, job(labels, seeds))[1].codes)
    alone = flat(walked(networks, job([labels[17]], [seeds[17]]))[1].codes)
    backwards = flat(walked(networks, job(labels[::-1], seeds[::-1]))[1].codes)
    assert together[17].equal(alone[0])
    assert together.equal(backwards.flip(0))


def test_seeds_and_labels_make_different_pictures(networks: tuple[VAR, MultiScaleVQ]) -> None:
    codes = flat(walked(networks, job([1, 1, 2], [5, 6, 5]))[1].codes)
    assert not codes[0].equal(codes[1])
    assert not codes[0].equal(codes[2])


def test_null_rows_change_nothing_where_the_weight_is_one(networks: tuple[VAR, MultiScaleVQ]) -> None:
    unguided = Recipe(guidance=Guidance(cfg=0.0, ramp=Plus()))
    without = walked(networks, job([4, 5], [1, 2], PLAIN))[1]
    skipped = walked(networks, job([4, 5], [1, 2], unguided))[1]
    doubled = walked(networks, job([4, 5], [1, 2], unguided, always_null=True))[1]
    assert flat(without.codes).equal(flat(skipped.codes))
    assert flat(without.codes).equal(flat(doubled.codes))


def test_guidance_follows_the_plus_ramp(networks: tuple[VAR, MultiScaleVQ]) -> None:
    """Scale 0 is unguided; the last scale's logits are u + (1 + cfg)(c - u)."""
    var, tokenizer = networks
    seen: list[torch.Tensor] = []
    _, done = walked(networks, job([3], [0], GUIDED, trace=lambda name, value: seen.append(value)))
    feeds = tokenizer.pyramid.teacher(done.codes)
    with torch.no_grad():
        given = teacher_forced(var, feeds, Given(torch.tensor([3])))
        null = teacher_forced(var, feeds, Given(torch.tensor([var.config.classes])))
    last = var.config.sizes[-1] ** 2
    torch.testing.assert_close(seen[0], given[:, :1], atol=1e-6, rtol=0)
    torch.testing.assert_close(seen[-1], (null + 3.0 * (given - null))[:, -last:], atol=1e-5, rtol=0)


def test_steps_count_codes_and_previews_show_finished_scales(networks: tuple[VAR, MultiScaleVQ]) -> None:
    var, tokenizer = networks
    shown: list[Codes] = []
    with torch.no_grad():
        for step in run(ScaleWalk(var, tokenizer.pyramid), job([0], [0])):
            if isinstance(step, Step):
                shown.append(step.preview())
                assert step.done == flat(shown[-1]).shape[1]
                assert step.total == 21
            else:
                whole = step.codes
    assert [len(codes.data) for codes in shown] == [1, 2, 3]
    assert all(one.equal(other) for one, other in zip(shown[-1].data, whole.data, strict=True))


def test_looking_at_previews_changes_nothing(networks: tuple[VAR, MultiScaleVQ]) -> None:
    var, tokenizer = networks
    quiet = flat(walked(networks, job([6], [9]))[1].codes)
    with torch.no_grad():
        for step in run(ScaleWalk(var, tokenizer.pyramid), job([6], [9])):
            if isinstance(step, Step):
                tokenizer.decode(tokenizer.latents(step.preview()))
            else:
                assert flat(step.codes).equal(quiet)


def test_the_cache_is_gone_when_codes_are_decoded(networks: tuple[VAR, MultiScaleVQ]) -> None:
    """Even if somebody keeps the last step with its preview, which is no longer valid then."""
    var, tokenizer = networks
    made: list[weakref.ref[FullCache]] = []

    def watched(rows: int, capacity: int, look: int) -> FullCache:
        made.append(weakref.ref(one := cache(rows, capacity, look)))
        return one

    walk = run(ScaleWalk(var, tokenizer.pyramid), job([0], [0], cache=watched))
    with torch.no_grad():
        kept = [next(walk) for _ in range(3)]
        assert made[0]() is not None
        assert isinstance(next(walk), Done)
    assert made[0]() is None
    assert isinstance(kept[-1], Step)
    with pytest.raises(RuntimeError, match="next step"):
        kept[-1].preview()


def test_until_stops_early_with_the_same_beginning(networks: tuple[VAR, MultiScaleVQ]) -> None:
    whole = walked(networks, job([2], [3]))[1].codes
    part = walked(networks, job([2], [3], until=2))[1].codes
    assert len(part.data) == 2
    assert part.data[1].equal(whole.data[1])


def test_smoothed_pictures_are_latents_and_reproduce(networks: tuple[VAR, MultiScaleVQ]) -> None:
    smooth = Recipe(guidance=Guidance(cfg=1.5, ramp=Plus()), filters=(TopK(20),), smooth=True)
    first, again = (walked(networks, job([1, 2], [3, 4], smooth))[1].codes for _ in range(2))
    alone = walked(networks, job([2], [4], smooth))[1].codes
    assert first.kind == "latents"
    assert first.data[0].equal(again.data[0])
    torch.testing.assert_close(first.data[0][1:], alone.data[0], atol=1e-9, rtol=0)


def some_codes(seed: int, batch: int = 1) -> Codes:
    """Random code maps of the tiny tokenizer's scales."""
    generator = torch.Generator().manual_seed(seed)
    return Codes("scales", tuple(torch.randint(64, (batch, p * p), generator=generator) for p in (1, 2, 4)))


def test_known_codes_keep_their_places_at_every_scale(networks: tuple[VAR, MultiScaleVQ]) -> None:
    given = some_codes(1, batch=2)
    known_BL = torch.rand(2, 21, generator=torch.Generator().manual_seed(2)) < 0.5
    prefix = given._replace(known_BL=known_BL)
    made = flat(
        walked(networks, job([3, 7], [0, 1], given=Given(torch.tensor([3, 7]), prefix=prefix)))[1].codes
    )
    assert made[known_BL].equal(flat(given)[known_BL])
    assert not made[~known_BL].equal(flat(given)[~known_BL])


def test_everything_known_is_the_given_picture_and_nothing_known_a_plain_one(
    networks: tuple[VAR, MultiScaleVQ],
) -> None:
    given, label_B = some_codes(1), torch.tensor([3])
    plain = flat(walked(networks, job([3], [0]))[1].codes)
    for known, expected in ((True, flat(given)), (False, plain)):
        prefix = given._replace(known_BL=torch.full((1, 21), known))
        assert flat(walked(networks, job([3], [0], given=Given(label_B, prefix=prefix)))[1].codes).equal(
            expected
        )


def test_a_picture_that_is_told_its_own_coarse_codes_stays_itself(networks: tuple[VAR, MultiScaleVQ]) -> None:
    plain = walked(networks, job([3], [0]))[1].codes
    coarse = Codes("scales", plain.data[:2])
    again = walked(networks, job([3], [5], given=Given(torch.tensor([3]), prefix=coarse)))[1].codes
    assert all(a.equal(b) for a, b in zip(again.data[:2], plain.data[:2], strict=True))
    assert not again.data[2].equal(plain.data[2])
    itself = walked(networks, job([3], [0], given=Given(torch.tensor([3]), prefix=coarse)))[1].codes
    assert flat(itself).equal(flat(plain))


def test_known_codes_hold_in_any_batch_and_with_smoothing(networks: tuple[VAR, MultiScaleVQ]) -> None:
    _, tokenizer = networks
    known_BL = (torch.arange(21) % 3 == 0).expand(3, 21)
    prefix = Codes("scales", tuple(ids.expand(3, -1) for ids in some_codes(1).data), known_BL)
    labels, seeds = [1, 2, 3], [7, 8, 9]
    together = walked(networks, job(labels, seeds, given=Given(torch.tensor(labels), prefix=prefix)))[1].codes
    one = Codes("scales", some_codes(1).data, known_BL[:1])
    alone = walked(networks, job([2], [8], given=Given(torch.tensor([2]), prefix=one)))[1].codes
    assert flat(together)[1].equal(flat(alone)[0])
    smooth, whole = Recipe(filters=(TopK(20),), smooth=True), some_codes(1)
    made = walked(networks, job([2], [8], smooth, given=Given(torch.tensor([2]), prefix=whole)))[1].codes
    assert made.data[0].equal(tokenizer.latents(whole))
