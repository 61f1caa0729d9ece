"""What `-c`, `-p`, `-n` and `--seed` mean, and that a stored run comes back."""

import json
from dataclasses import replace

import pytest

from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.request import Request, Wanted, choose_pictures, from_spec, parse_seeds, spec
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe, Temperature, TopK, TopP
from tests.samplers.accelerated import Ahead, Small, install

RECIPE = Recipe(guidance=Guidance(cfg=1.5, ramp=Plus()), filters=(TopK(900), TopP(0.96)))


def request(count: int, batch: int) -> Request:
    pictures = tuple(Wanted(i % 3, 100 + i) for i in range(count))
    return Request(model="m", pictures=pictures, recipe=RECIPE, batch=batch)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", (7,)), ("1,5,9", (1, 5, 9)), ("0-3", (0, 1, 2, 3)), ("-2", (-2,)), ("-2-1,5", (-2, -1, 0, 1, 5))],
)
def test_seeds_are_numbers_lists_and_ranges(text: str, expected: tuple[int, ...]) -> None:
    assert parse_seeds(text) == expected


@pytest.mark.parametrize("text", ["", "a", "5-3", "1,,2", "99999999999999999999"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(GenstudioError, match="seed"):
        parse_seeds(text)


def test_picture_i_of_a_seed_has_that_seed_plus_i() -> None:
    made = choose_pictures((4, 2), 2, "10", 10)
    assert made == (Wanted(4, 10), Wanted(4, 11), Wanted(2, 12), Wanted(2, 13))


def test_several_seeds_go_with_every_label() -> None:
    assert choose_pictures((4, 2), None, "5-6", 10) == tuple(Wanted(c, s) for c in (4, 2) for s in (5, 6))


def test_prompts_go_with_counts_and_seeds_as_labels_do() -> None:
    made = choose_pictures(("a bird", "a fish"), 2, "10", 0)
    assert made == tuple(Wanted(None, 10 + i, text) for i, text in enumerate(["a bird"] * 2 + ["a fish"] * 2))
    several = choose_pictures(("a bird", "a fish"), None, "5-6", 0)
    assert several == tuple(Wanted(None, s, p) for p in ("a bird", "a fish") for s in (5, 6))
    assert [one.subject for one in choose_pictures((3, "a bird", None), None, "0", 10)] == [3, "a bird", None]


def test_without_labels_pictures_spread_over_the_classes() -> None:
    assert [one.label for one in choose_pictures(None, None, "0", 10)] == list(range(10))
    assert [one.label for one in choose_pictures(None, 20, "0", 10)] == [i // 2 for i in range(20)]
    assert [one.label for one in choose_pictures(None, 4, "0", 1000)] == [0, 250, 500, 750]


@pytest.mark.parametrize(("count", "seeds"), [(0, "0"), (3, "0-9")])
def test_counts_that_cannot_be_are_refused(count: int, seeds: str) -> None:
    with pytest.raises(GenstudioError, match="-n"):
        choose_pictures((1,), count, seeds, 10)


def test_a_stored_picture_comes_back_in_a_batch_of_its_shape() -> None:
    original = request(count=10, batch=4)
    for batch in original.batches():
        for position in batch:
            rows = {position - batch.start: original.pictures[position]}
            stored = json.loads(json.dumps(spec(original, rows, len(batch), {"draws": 1})))
            again = from_spec(stored)
            kept = [again.pictures[i] for i in range(len(again.pictures)) if again.kept(i)]
            assert kept == [original.pictures[position]]
            assert again.batches() == [range(len(batch))]
            assert again.keep == (position - batch.start,)
            assert again.recipe == original.recipe


def test_a_stored_grid_comes_back_whole() -> None:
    original = request(count=10, batch=4)
    again = from_spec(spec(original, dict(enumerate(original.pictures)), 4, {}))
    assert again.pictures == original.pictures
    assert again.batches() == original.batches()


def test_a_run_of_prompts_comes_back_with_all_that_its_pixels_depend_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch)
    original = replace(
        request(3, 3),
        pictures=(Wanted(None, 1, "a bird"), Wanted(2, 3), Wanted(None, 4)),
        negative="rain",
        features=Source("/f.safetensors", "0" * 64),
        accelerators=(Small(), Ahead(window=4)),
    )
    stored = json.loads(json.dumps(spec(original, dict(enumerate(original.pictures)), 3, {})))
    assert stored["pictures"] == [[None, 1, "a bird"], [2, 3], [None, 4]]
    assert stored["exactness"] == "lossy"
    assert replace(from_spec(stored), keep=None) == original
    said = original.describe()
    assert "away from 'rain'" in said and "small+ahead:window=4,loose=off,share=0.5 (lossy)" in said


def test_files_written_before_there_were_prompts_come_back() -> None:
    """As the first version wrote them: two entries a picture, nothing of text or accelerators."""
    recipe = {
        "guidance": {"cfg": 1.5, "ramp": {"kind": "plus"}, "until": None, "below_t": None},
        "filters": [{"k": 900, "kind": "top_k"}, {"p": 0.96, "kind": "top_p"}],
        "smooth": False,
    }
    old = {"model": "m", "pictures": [[8, 3]], "recipe": recipe, "batch": {"size": 2, "rows": [1]}}
    again = from_spec(old)
    assert again.pictures[1] == Wanted(8, 3, None) and again.recipe == RECIPE
    assert (again.negative, again.features, again.accelerators) == (None, None, ())
    assert set(spec(request(1, 1), {0: Wanted(8, 3)}, 1, {})) == {"model", "pictures", "recipe", "batch"}


@pytest.mark.parametrize(
    "broken", [{}, {"pictures": "x"}, {"pictures": [[1, 2]], "batch": {}, "recipe": {}}, {"pictures": [[1]]}]
)
def test_a_foreign_spec_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(GenstudioError, match="cannot be read"):
        from_spec(broken)


def test_flags_override_single_fields() -> None:
    changed = RECIPE.override(cfg=4.0, top_k=0, top_p=0.5, temperature=0.9)
    assert changed.guidance == Guidance(cfg=4.0, ramp=Plus())
    assert changed.filters == (Temperature(0.9), TopP(0.5))
    assert RECIPE.override() == RECIPE
    assert Recipe().override(top_k=5).filters == (TopK(5),)


@pytest.mark.parametrize("wrong", [{"top_k": -1}, {"top_p": 1.5}, {"temperature": 0.0}, {"steps": 5}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(GenstudioError):
        RECIPE.override(**wrong)


def test_guidance_without_guidance_is_refused() -> None:
    with pytest.raises(GenstudioError, match="no guidance"):
        Recipe().override(cfg=2.0)
