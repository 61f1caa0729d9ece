"""The promises about draws and pictures: any batch, any order, any number of processes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genstudio.errors import Exit, GenstudioError
from genstudio.events import Picture, Place
from genstudio.releases import weights
from genstudio.releases.release import Distilled
from genstudio.request import Request, Wanted, choose_pictures
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.few_steps import FewSteps
from genstudio.samplers.recipe import Recipe
from genstudio.studio import Studio
from tests.generators.test_students import VAR_STUDENT
from tests.releases import tiny

LABELS_AND_SEEDS = tuple(Wanted(i % 10, 500 + i) for i in range(64))


def codes_by_position(studio: Studio, batch: int, pictures: tuple[Wanted, ...]) -> dict[Wanted, torch.Tensor]:
    """Pixels of every picture, by what was wanted."""
    request = Request(model="m", pictures=pictures, recipe=studio.release.recipe, batch=batch)
    made = [event for event in studio.stream(request) if isinstance(event, Picture)]
    return {picture.wanted: picture.pixels_CHW for picture in made}


def in_float64(name: str) -> Studio:
    studio = Studio.load(name)
    studio.generator.double()
    studio.tokenizer.double()
    return studio


def test_draws_of_a_picture_are_the_same_in_any_batch() -> None:
    draws, place = KeyedDraws(), torch.arange(85)[:, None]
    together = draws.uniform(Use.TOKEN, At.grid(torch.arange(64), place)).view(64, 85)
    alone = draws.uniform(Use.TOKEN, At.grid(torch.tensor([17]), place))
    assert together[17].equal(alone)


def test_pictures_are_the_same_in_batches_of_64_and_of_1(tiny_var: str) -> None:
    studio = in_float64(tiny_var)
    whole = codes_by_position(studio, 64, LABELS_AND_SEEDS)
    single = codes_by_position(studio, 1, LABELS_AND_SEEDS[15:20])
    assert all(whole[wanted].equal(pixels) for wanted, pixels in single.items())


def test_pictures_are_the_same_from_two_processes(tiny_var: str, home: Path, tmp_path: Path) -> None:
    """Each process makes half of the seeds; together they are what one process makes."""
    whole = codes_by_position(in_float64(tiny_var), 8, LABELS_AND_SEEDS[:8])
    for half in (0, 1):
        code = (
            "import sys, json, torch; from tests.test_studio import *;"
            f"made = codes_by_position(in_float64('{tiny_var}'), 8, LABELS_AND_SEEDS[{half}:8:2]);"
            "print(json.dumps([[*wanted, pixels.flatten().tolist()] for wanted, pixels in made.items()]))"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for *wanted, values in json.loads(ran.stdout):
            assert whole[Wanted(*wanted)].flatten().tolist() == values


def test_kept_rows_of_a_batch_are_the_only_ones_returned(tiny_var: str) -> None:
    studio = Studio.load(tiny_var)
    pictures = LABELS_AND_SEEDS[:6]
    recipe = studio.release.recipe
    request = Request(model="m", pictures=pictures, recipe=recipe, batch=2, keep=(3,))
    made = [event for event in studio.stream(request) if isinstance(event, Picture)]
    assert [picture.wanted for picture in made] == [pictures[3]]
    assert made[0].place == Place(size=2, row=1)


def test_the_same_seed_makes_the_same_pictures_twice(tiny_var: str) -> None:
    studio = Studio.load(tiny_var)
    first, again = (studio.sample(classes="1,2", n=2, seed=3) for _ in range(2))
    assert all(a.pixels_CHW.equal(b.pixels_CHW) for a, b in zip(first, again, strict=True))
    smooth = studio.sample(classes="1,2", n=2, seed=3, smooth=True)
    assert not all(a.pixels_CHW.equal(b.pixels_CHW) for a, b in zip(first, smooth, strict=True))


def test_pixels_that_are_no_numbers_are_an_error_and_no_black_pictures(tiny_var: str) -> None:
    studio = Studio.load(tiny_var)
    torch.nn.init.constant_(studio.tokenizer.decoder.conv_out.bias, float("nan"))
    with pytest.raises(GenstudioError, match="decodes to NaN") as caught:
        studio.sample(classes=0)
    assert caught.value.code == Exit.CHECK


@pytest.mark.slow
def test_compiling_changes_nothing_but_time(home: Path) -> None:
    """On the bundled model, where a flipped code would show: pictures differ by one level at most."""
    plain, compiled = Studio.load("var-fashion"), Studio.load("var-fashion")
    compiled.compile()
    for a, b in zip(plain.sample(n=10), compiled.sample(n=10), strict=True):
        assert (a.pixels_CHW.int() - b.pixels_CHW.int()).abs().max() <= 1


def test_pictures_name_the_weights_of_a_teacher_that_took_a_part(tiny_var: str, home: Path) -> None:
    few = FewSteps(steps=1, turn=2, splits=((1, 1),))
    student = replace(
        tiny.release(VAR_STUDENT, "tiny-student"),
        tokenizer="tiny-vq",
        recipe=Recipe(few=few),
        distilled=Distilled(teacher=tiny_var),
    )
    weights.save_release(home / "models" / student.name, tiny.network(VAR_STUDENT), student)
    studio = Studio.load(student.name)
    named = {}
    for steps in (1, 3):
        request = Request(
            model=student.name,
            pictures=choose_pictures((0,), 1, "0", 10),
            recipe=Recipe(few=few.taking(steps)),
            batch=1,
        )
        named[steps] = set(studio.facts(request)["weights"])
    assert named == {1: {"tiny-student", "tiny-vq"}, 3: {"tiny-student", "tiny-vq", tiny_var}}
