"""`--accel`: what is read, what is refused and why, what a run promises. With toys of the real protocol."""

import subprocess
import sys

import pytest

from genstudio.errors import GenstudioError
from genstudio.samplers.accelerators import (
    ACCELERATORS,
    SITES,
    choose_accelerators,
    describe,
    every,
    parse,
    promise,
)
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.recipe import Recipe
from tests.releases import tiny
from tests.samplers.accelerated import Ahead, Alone, Small, install

RELEASE = tiny.release(tiny.GENERATOR, "tiny-var")


@pytest.fixture(autouse=True)
def _filled(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ahead", Ahead()),
        ("ahead:window=8", Ahead(window=8)),
        (" ahead:window=8, loose=on ,share=0.1", Ahead(window=8, loose=True, share=0.1)),
        ("ahead:draft=mine", Ahead(draft="mine")),
        ("small", Small()),
    ],
)
def test_a_name_with_settings_is_a_value_and_comes_back_from_its_words(text: str, expected: object) -> None:
    assert parse(text) == expected
    assert parse(describe(parse(text))) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ahed", ["'ahed'", "Did you mean ahead?"]),
        ("warp", ["'warp'", "ahead, small, alone"]),
        ("ahead:windw=8", ["no setting 'windw'", "window, loose, share, draft"]),
        ("small:x=1", ["no setting 'x'", "It has none"]),
        ("ahead:window", ["no list of settings", "key=value"]),
        ("ahead:", ["no list of settings"]),
        ("ahead:window=2,window=3", ["no list of settings", "each once"]),
        ("ahead:window=many", ["window = 'many' cannot be", "integer"]),
        ("ahead:window=1", ["window = '1' cannot be", "greater than or equal to 2"]),
    ],
)
def test_what_means_nothing_is_refused_with_what_would(text: str, words: list[str]) -> None:
    with pytest.raises(GenstudioError) as caught:
        parse(text)
    assert all(word in f"{caught.value.message} {caught.value.hint}" for word in words), caught.value


def test_several_stand_in_the_order_in_which_they_are_applied() -> None:
    chosen = choose_accelerators(RELEASE, ["ahead", "small"])
    assert [one.name for one in chosen] == ["small", "ahead"]
    assert [SITES.index(one.site) for one in chosen] == sorted(SITES.index(one.site) for one in chosen)
    assert choose_accelerators(RELEASE, []) == ()


def test_a_pair_that_neither_side_names_is_refused() -> None:
    with pytest.raises(GenstudioError, match="small and alone were never shown"):
        choose_accelerators(RELEASE, ["small", "alone"])
    with pytest.raises(GenstudioError, match="ahead is given twice"):
        choose_accelerators(RELEASE, ["ahead", "ahead:window=4"])


def test_a_model_that_one_does_not_take_is_named_with_the_reason() -> None:
    other = tiny.release(tiny.VQ, "tiny-vq")
    with pytest.raises(
        GenstudioError, match=r"ahead does not take tiny-vq: multiscale_vq makes no codes"
    ) as caught:
        choose_accelerators(other, ["ahead"])
    assert "genstudio models --accel" in caught.value.hint


def test_a_run_promises_what_its_weakest_accelerator_does() -> None:
    plain, smooth = Recipe(), Recipe(smooth=True)
    assert promise((), plain) == promise((Ahead(),), plain) == Exactness.EXACT
    assert promise((Ahead(),), smooth) == Exactness.SAME_DISTRIBUTION
    assert promise((Ahead(loose=True),), plain) == promise((Ahead(), Small()), plain) == Exactness.LOSSY


def test_every_entry_of_the_table_stands_for_a_class_with_usual_settings() -> None:
    assert every() == [Ahead(), Small(), Alone()]
    assert [one.name for one in every()] == list(ACCELERATORS)


def test_reading_costs_no_torch() -> None:
    code = "import sys, genstudio.samplers.accelerators as a; a.every(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
