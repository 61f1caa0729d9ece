"""Recipes: the bundled ones, overrides, and mistakes that are named before anything trains."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from genstudio.errors import GenstudioError
from genstudio.training.recipe import parse_recipe, parse_setting, read_recipe, recipe_names
from tests.training import tiny


def tables(**changes: Any) -> dict[str, Any]:
    own = deepcopy(tiny.VAR)
    own["data"]["source"] = "fashion"
    for key, value in changes.items():
        section, _, name = key.partition("__")
        own[section][name] = value
    return own


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_is_valid(name: str) -> None:
    assert read_recipe(name).run.name == name


def test_pictures_are_rounded_up_to_whole_steps() -> None:
    own = tables(run__pictures=1001, run__batch=100)
    del own["run"]["steps"]
    assert parse_recipe(own).run.total == 11


def test_a_budget_given_by_flag_replaces_the_other_kind() -> None:
    changed = read_recipe("var-fashion", [("run.steps", 7), ("network.depth", 2), ("data.source", "emoji")])
    assert (changed.run.total, changed.network.depth, changed.data.source) == (7, 2, "emoji")


@pytest.mark.parametrize(
    ("change", "wrong", "meant"),
    [
        ({"run__stesp": 3}, "run.stesp", "run.steps"),
        ({"network__widht": 3}, "network.widht", "network.width"),
        ({"objective__label_dorp": 0.1}, "objective.label_dorp", "objective.label_drop"),
        ({"sampling__guidance": {"cgf": 1.0}}, "sampling.guidance.cgf", "sampling.guidance.cfg"),
        ({"sampling__filters": [{"kind": "top_k", "kk": 1}]}, "sampling.filters.kk", "sampling.filters.k"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(change: dict[str, Any], wrong: str, meant: str) -> None:
    with pytest.raises(GenstudioError) as caught:
        parse_recipe(tables(**change))
    assert f"unknown key {wrong}." in caught.value.message
    assert caught.value.hint == f"Did you mean {meant}?"


def test_an_unknown_section_is_named() -> None:
    with pytest.raises(GenstudioError, match=r"unknown key optimiser\."):
        parse_recipe({**tables(), "optimiser": {}})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"run__pictures": 100}, "either steps or pictures"),
        ({"run__accumulate": 3}, "equal passes"),
        ({"run__precision": "fp8"}, "run.precision"),
        ({"optimizer__lr": -1.0}, "optimizer.lr"),
        ({"network__depth": "deep"}, "depth"),
        ({"run__name": "../x"}, "run.name"),
        ({"run__seed": 2**31}, "run.seed"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(GenstudioError) as caught:
        parse_recipe(tables(**change))
    assert says in caught.value.message


def test_a_generator_needs_its_tokenizer() -> None:
    own = tables()
    del own["tokenizer"]
    with pytest.raises(GenstudioError, match="needs"):
        parse_recipe(own)


def test_a_recipe_is_a_file_too_and_an_unknown_name_is_met_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[run]\nname = ")
    with pytest.raises(GenstudioError, match="not valid TOML"):
        read_recipe(str(path))
    with pytest.raises(GenstudioError) as caught:
        read_recipe("var-fashoin")
    assert caught.value.hint == "Did you mean var-fashion?"


def test_settings_are_read_as_toml_else_as_text() -> None:
    assert parse_setting("network.sizes=[1, 2]") == ("network.sizes", [1, 2])
    assert parse_setting("run.ema=0.5") == ("run.ema", 0.5)
    assert parse_setting("data.source=fashion") == ("data.source", "fashion")
    for text in ("run.ema", "ema=1"):
        with pytest.raises(GenstudioError, match="no setting"):
            parse_setting(text)


def test_numbers_hold_what_decides_the_weights_and_nothing_else() -> None:
    first = parse_recipe(tables())
    moved = parse_recipe({**tables(data__source="elsewhere"), "save": {"every": 9}, "log": {"every": 1}})
    other = parse_recipe(tables(objective__label_drop=0.2))
    assert first.numbers() == moved.numbers()
    assert first.numbers() != other.numbers()
