"""The walk of a student: what is drawn, what stands after each pass, and the part that its teacher takes."""

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from genstudio.cache.makers import full_caches
from genstudio.errors import GenstudioError
from genstudio.generators.base import Generator
from genstudio.generators.methods import walk_of
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.few_steps import FewSteps
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.oneshot import nearest, passes
from genstudio.samplers.recipe import Recipe, TopK
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, Step, run
from genstudio.tokenizers.base import QuantisingTokenizer
from tests.generators.test_students import LLAMAGEN_STUDENT, VAR_STUDENT
from tests.releases import tiny


class Cast(NamedTuple):
    """A student, its teacher, their tokenizer; and how many codes a unit has."""

    student: Generator
    teacher: Generator
    tokenizer: QuantisingTokenizer
    few: FewSteps


class Seen(NamedTuple):
    """What a run said."""

    steps: list[Step]
    codes: Codes
    student: list[Tensor]
    teacher: list[Tensor]


@pytest.fixture(scope="module", params=["var", "llamagen"])
def cast(request: pytest.FixtureRequest) -> Cast:
    if request.param == "var":
        parts = [tiny.network(one).double() for one in (VAR_STUDENT, tiny.GENERATOR, tiny.VQ)]
        few = FewSteps(steps=2, turn=2, splits=((1, 1),))
    else:
        parts = [tiny.network(one).double() for one in (LLAMAGEN_STUDENT, tiny.SEQUENCE, tiny.GRID_VQ)]
        few = FewSteps(steps=2, turn=6, splits=((1, 9), (3, 4)))
    student, teacher, tokenizer = parts
    assert isinstance(student, Generator) and isinstance(teacher, Generator)
    assert isinstance(tokenizer, QuantisingTokenizer)
    return Cast(student, teacher, tokenizer, few)


LAW = Recipe(guidance=Guidance(cfg=2.0, ramp=Plus()), filters=(TopK(20),))


@torch.no_grad()
def walked(cast: Cast, few: FewSteps, labels: list[int], seeds: list[int]) -> Seen:
    said: dict[str, list[Tensor]] = {"student": [], "teacher": []}
    job = Job(
        Given(torch.tensor(labels)),
        torch.tensor(seeds),
        replace(LAW, few=few),
        KeyedDraws(),
        full_caches(cast.student),
        trace=lambda name, value: said[name].append(value) if name in said else None,
    )
    walk = walk_of(cast.student, cast.tokenizer, cast.teacher if few.start is not None else None)
    *steps, done = run(walk, job)
    assert isinstance(done, Done)
    return Seen([step for step in steps if isinstance(step, Step)], done.codes, **said)


def test_one_step_is_one_pass_over_the_noise_of_every_place(cast: Cast) -> None:
    seen = walked(cast, cast.few.taking(1), [3, 7], [5, 6])
    order, table = cast.student.order, cast.tokenizer.quantize
    place_L1 = torch.arange(order.codes)[:, None]
    at, width = At.grid(torch.tensor([5, 6]), place_L1), table.table_VC.shape[1]
    noise_BLd = KeyedDraws().normal(Use.START, at, (width,)).view(2, order.codes, width)
    network: Any = cast.student
    with torch.no_grad():
        cond = network.condition(Given(torch.tensor([3, 7])), null=False)
        h_BLC = network(noise_BLd, torch.tensor([0, 0]), cond)
        codes_BLd = table.lookup(network.logits(h_BLC, cond).argmax(-1))
        vectors_BLd = network.vectors(h_BLC, cond)
    split = order.units()[cast.few.split].made.start
    torch.testing.assert_close(seen.student[0][:, :split].double(), codes_BLd[:, :split].double())
    torch.testing.assert_close(seen.student[0][:, split:].double(), vectors_BLd[:, split:].double())
    assert seen.codes.kind == "latents" and len(seen.steps) == 1


def test_a_second_step_keeps_the_codes_before_the_turn_and_the_noise_behind(cast: Cast) -> None:
    one, two = (walked(cast, cast.few.taking(steps), [3], [5]) for steps in (1, 2))
    turn = cast.student.order.units()[cast.few.turn].made.start
    split = cast.student.order.units()[cast.few.taking(2).split].made.start
    torch.testing.assert_close(two.student[0], one.student[0])
    kept = slice(0, min(turn, split))
    torch.testing.assert_close(two.student[1][:, kept], two.student[0][:, kept])
    assert not two.student[1][:, turn:].allclose(two.student[0][:, turn:])


def test_the_teacher_goes_on_behind_the_codes_of_the_student(cast: Cast) -> None:
    few = cast.few.behind(1)
    seen = walked(cast, few, [3, 7], [5, 6])
    start, turn = (cast.student.order.units()[unit].made.start for unit in (1, few.turn))
    assert len(seen.student) == 2 and len(seen.teacher) == few.turn - 1
    ids_Bn = nearest(cast.tokenizer.quantize, seen.student[0][:, :start])
    assert nearest(cast.tokenizer.quantize, seen.teacher[-1])[:, :start].equal(ids_Bn)
    assert seen.teacher[-1].shape[1] == turn


def test_a_teacher_that_starts_is_the_plain_teacher_up_to_the_turn(cast: Cast) -> None:
    few = cast.few.behind(0)
    seen = walked(cast, few, [3, 7], [5, 6])
    job = Job(Given(torch.tensor([3, 7])), torch.tensor([5, 6]), LAW, KeyedDraws(), full_caches(cast.teacher))
    with torch.no_grad():
        *_, done = run(walk_of(cast.teacher, cast.tokenizer), job._replace(until=few.turn))
    ids_Bn = torch.cat(done.codes.data, dim=1)[:, : seen.teacher[-1].shape[1]]
    torch.testing.assert_close(
        seen.teacher[-1].double(), cast.tokenizer.quantize.lookup(ids_Bn).detach().double()
    )
    assert len(seen.student) == 1 and len(seen.steps) == few.steps


@pytest.mark.parametrize("start", [None, 0, 1])
def test_a_picture_is_the_same_in_any_batch(cast: Cast, start: int | None) -> None:
    few = cast.few if start is None else cast.few.behind(start)
    together, alone = walked(cast, few, [1, 2, 3], [7, 8, 9]), walked(cast, few, [2], [8])
    torch.testing.assert_close(together.codes.data[0][1], alone.codes.data[0][0])


def test_progress_never_falls_and_ends_whole(cast: Cast) -> None:
    for few in (cast.few.taking(1), cast.few, cast.few.behind(0), cast.few.behind(1)):
        done = [step.done for step in walked(cast, few, [1], [2]).steps]
        assert done == sorted(done) and done[-1] == cast.student.order.codes
        assert len(done) == few.steps == len(passes(few))


def test_a_cached_prefix_changes_what_the_teacher_of_var_says() -> None:
    few = FewSteps(steps=3, turn=3, start=2, splits=((1, 2),))
    unmasked, cached = (_prefix_logits(replace(few, cached=cached)) for cached in (False, True))
    assert not unmasked.allclose(cached)


@torch.no_grad()
def _prefix_logits(few: FewSteps) -> Tensor:
    student, teacher, tokenizer = (
        tiny.network(one).double() for one in (VAR_STUDENT, tiny.GENERATOR, tiny.VQ)
    )
    assert isinstance(student, Generator) and isinstance(teacher, Generator)
    assert isinstance(tokenizer, QuantisingTokenizer)
    logits: list[Tensor] = []
    job = Job(
        Given(torch.tensor([3])),
        torch.tensor([5]),
        replace(LAW, few=few),
        KeyedDraws(),
        full_caches(student),
        trace=lambda name, value: logits.append(value) if name == "guided_logits" else None,
    )
    list(run(walk_of(student, tokenizer, teacher), job))
    return logits[0]


def test_published_numbers_of_steps_begin_where_they_were_published() -> None:
    var = FewSteps(steps=1, turn=5, splits=((1, 5), (4, 8), (6, 9)))
    assert [(var.taking(steps).start, var.taking(steps).split) for steps in (1, 2, 3, 4, 6)] == [
        (None, 5),
        (None, 5),
        (4, 5),
        (3, 8),
        (0, 9),
    ]
    llamagen = FewSteps(steps=1, turn=80, splits=((1, 130), (3, 180), (81, 220)))
    assert [(llamagen.taking(steps).start, llamagen.taking(steps).split) for steps in (22, 42, 81)] == [
        (60, 180),
        (40, 180),
        (0, 220),
    ]


def test_steps_that_mean_nothing_are_refused() -> None:
    few = FewSteps(steps=1, turn=5, splits=((1, 5),))
    for steps in (0, 7):
        with pytest.raises(GenstudioError, match=f"--steps {steps} is out of range") as caught:
            Recipe(few=few).override(steps=steps)
        assert caught.value.hint == "Give 1 to 6."
    with pytest.raises(ValueError, match="do not begin"):
        FewSteps(steps=3, turn=5, start=1, splits=((1, 5),))


def test_guidance_means_nothing_to_a_student_alone() -> None:
    recipe = replace(LAW, few=FewSteps(steps=1, turn=5, splits=((1, 5),)))
    with pytest.raises(GenstudioError, match="--cfg means nothing"):
        recipe.override(cfg=3.0)
    taught = recipe.override(cfg=3.0, steps=3)
    assert taught.guidance is not None and taught.guidance.cfg == 3.0
    assert "teacher" in taught.describe() and "cfg 3" in taught.describe()
    assert recipe.describe() == "1 step"


def test_a_student_without_its_teacher_cannot_take_its_part(cast: Cast) -> None:
    with pytest.raises(ValueError, match="teacher"):
        job = Job(
            Given(torch.tensor([3])),
            torch.tensor([5]),
            replace(LAW, few=cast.few.behind(0)),
            KeyedDraws(),
            full_caches(cast.student),
        )
        walk_of(cast.student, cast.tokenizer).start(job)
    with pytest.raises(GenstudioError, match="no teacher"):
        walk_of(cast.teacher, cast.tokenizer, cast.teacher)
