"""Accelerators through the studio: what their labels promise, for every picture as if it were alone.

Tiny networks with random weights. Shapes: C channels, H x W pixels.
"""

from typing import Any

import pytest
import torch

from genstudio.request import Request, choose_pictures
from genstudio.samplers.accelerators import choose_accelerators, promise
from genstudio.samplers.recipe import Recipe, Temperature, TopK, TopP
from genstudio.studio import Studio

SAME = ["sjd", "sjd:window=4,init=random", "spectr", "spectr:k=1,length=2", "lantern:k=0"]
LOSSY = ["lantern", "lantern:tree=static,k=3,lambda=4", "lantern:k=2,delta=0.2,residual=official"]


@pytest.fixture
def studio(tiny_llamagen: str) -> Studio:
    return Studio.load(tiny_llamagen)


def pixels(studio: Studio, accel: str | list[str] = (), n: int = 6, **more: object) -> list[torch.Tensor]:
    pictures = studio.sample(classes="2,7", n=n, seed=5, accel=accel, **more)  # type: ignore[arg-type]
    return [picture.pixels_CHW for picture in pictures]


@pytest.mark.parametrize("batch", [1, 5, 12])
@pytest.mark.parametrize("accel", ["jacobi", "jacobi:window=2", "jacobi:window=5,init=sample_horizon"])
def test_exact_jacobi_makes_the_pictures_of_the_plain_sampler(studio: Studio, accel: str, batch: int) -> None:
    plain, fast = pixels(studio), pixels(studio, accel, batch=batch)
    assert len({one.numpy().tobytes() for one in plain}) == 12
    assert all(one.equal(other) for one, other in zip(plain, fast, strict=True))


@pytest.mark.parametrize("changed", [{"cfg": 1.0}, {"top_p": 0.8, "temperature": 0.7}, {"top_k": 1}])
def test_it_does_so_by_any_recipe(studio: Studio, changed: dict[str, float]) -> None:
    plain, fast = pixels(studio, **changed), pixels(studio, "jacobi:window=7", **changed)
    assert all(one.equal(other) for one, other in zip(plain, fast, strict=True))


@pytest.mark.parametrize("accel", SAME + LOSSY)
def test_others_make_other_pictures_that_do_not_depend_on_their_neighbours(
    studio: Studio, accel: str
) -> None:
    plain, together, alone = pixels(studio), pixels(studio, accel), pixels(studio, accel, batch=1)
    assert all(one.equal(other) for one, other in zip(together, alone, strict=True))
    assert not all(one.equal(other) for one, other in zip(plain, together, strict=True))


RECIPES = [
    Recipe(),
    Recipe(filters=(Temperature(0.7), TopK(5))),
    Recipe(filters=(TopK(5), TopP(0.9))),
    Recipe(filters=(TopP(1.0),)),
]


@pytest.mark.parametrize("accel", ["jacobi", *SAME, *LOSSY, "sjd:residual=official"])
def test_the_label_is_that_of_the_judge(studio: Studio, accel: str) -> None:
    for recipe in RECIPES:
        chosen = choose_accelerators(studio.release, [accel])
        request = Request(
            model=studio.release.name,
            pictures=choose_pictures((0,), 1, "0", 10),
            recipe=recipe,
            batch=1,
            accelerators=chosen,
        )
        walk: Any = studio.plan(request).walk
        assert walk.judge.exactness == promise(chosen, recipe)
        assert walk.proposer.nodes == chosen[0].slack


def test_every_picture_says_how_its_codes_came(studio: Studio) -> None:
    pictures = studio.sample(classes="2", n=5, seed=1, accel="jacobi:window=4")
    for picture in pictures:
        account = picture.account
        assert account is not None
        origin_L, pass_L = account.origin_L.tolist(), account.pass_L.tolist()
        assert len(origin_L) == 16 and origin_L[0] == 0 and pass_L[0] == 0
        assert pass_L == sorted(pass_L) and set(pass_L) == set(range(account.passes))
        for number in set(pass_L[1:]):  # drafts that stood, then what the target chose itself
            made = [origin for origin, by in zip(origin_L, pass_L, strict=True) if by == number]
            assert set(made[:-1]) <= {1} and len(made) <= 4
        assert account.codes_per_pass == 15 / (account.passes - 1)
    assert any(one.account.acceptance > 0 for one in pictures if one.account)
    assert studio.sample(classes="2", n=1)[0].account is None
