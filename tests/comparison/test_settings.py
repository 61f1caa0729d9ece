"""Which settings a comparison has, what their labels promise, and what is refused before anything loads."""

import pytest

from genstudio.comparison.settings import Setting, parse_varied, settings
from genstudio.errors import GenstudioError
from genstudio.releases import catalogue

FASHION = ("var-fashion", catalogue.find("var-fashion"))
D16 = ("var-d16", catalogue.find("var-d16"))


def chosen(*vary: str, models: tuple = (FASHION,), dtype: str = "float32") -> list[Setting]:
    return settings(models, parse_varied(vary), dtype)  # type: ignore[arg-type]


def test_fields_make_a_grid() -> None:
    found = chosen("cfg=0,0.5", "top_k=0,100")
    assert [one.name(("cfg", "top_k")) for one in found] == [
        "cfg 0, top_k 0",
        "cfg 0, top_k 100",
        "cfg 0.5, top_k 0",
        "cfg 0.5, top_k 100",
    ]
    assert [one.plain for one in found] == [False, False, True, False]


def test_the_plain_recipe_is_added_where_no_combination_is_it() -> None:
    found = chosen("cfg=2,4")
    assert [one.read("cfg") for one in found] == [0.5, 2.0, 4.0]
    assert [one.label for one in found] == ["baseline", "other recipe", "other recipe"]


def test_the_plain_recipe_tells_its_own_values() -> None:
    plain = next(one for one in chosen("cfg=1", models=(D16,)) if one.plain)
    fields = ("cfg", "top_k", "top_p", "temperature", "smooth", "best_of", "accept", "dtype")
    assert [plain.read(field) for field in fields] == [1.5, 900, 0.96, 1.0, False, 1, None, "fp32"]


def test_labels_say_what_a_setting_promises() -> None:
    labels = {one.name(("best_of", "dtype")): one.label for one in chosen("best_of=1,4", "dtype=fp32,bf16")}
    assert labels == {
        "best_of 1, dtype fp32": "baseline",
        "best_of 1, dtype bf16": "lossy",
        "best_of 4, dtype fp32": "lossy",
        "best_of 4, dtype bf16": "lossy",
    }
    up = chosen("dtype=fp32,bf16", dtype="bfloat16")
    assert [one.label for one in up] == ["higher precision", "baseline"]
    both = chosen("best_of=2", "cfg=3")
    assert [one.label for one in both] == ["baseline", "other recipe, lossy"]


def test_models_alone_are_compared_by_their_plain_recipes() -> None:
    found = chosen(models=(FASHION, D16))
    assert [one.release.name for one in found] == ["var-fashion", "var-d16"]
    assert all(one.plain and one.name(()) == "plain recipe" for one in found)


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (["cgf=1"], "Did you mean cfg"),
        (["colour=4"], "Known are: cfg"),
        (["steps=4"], "no free number of steps"),
        (["head_steps=50:5"], "no head that denoises"),
        (["cfg"], "no value"),
        (["cfg=1,x"], "'x'"),
        (["cfg=nan"], "'nan'"),
        (["top_k=1.5"], "whole numbers"),
        (["smooth=yes"], "on,off"),
        (["dtype=fp8"], "fp32,bf16,fp16"),
        (["cfg=1", "cfg=2"], "given twice"),
        (["top_p=2"], "--top-p 2.0 is out of range"),
        (["temperature=0"], "--temperature"),
        (["best_of=0"], "--best-of 0"),
        (["best_of=1,2", "accept=0.5"], "one candidate"),
        (["best_of=2", "accept=7"], "--accept 7"),
        ([], "one setting"),
        (["cfg=0.5"], "one setting"),
    ],
)
def test_mistakes_are_named(vary: list[str], words: str) -> None:
    with pytest.raises(GenstudioError) as caught:
        chosen(*vary)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_other_models_are_refused() -> None:
    with pytest.raises(GenstudioError, match="named twice"):
        chosen("cfg=1", models=(FASHION, FASHION))
    with pytest.raises(GenstudioError, match="makes no pictures"):
        chosen("cfg=1", models=(("msvq-fashion", catalogue.find("msvq-fashion")),))
    with pytest.raises(GenstudioError, match="No classifier is known"):
        chosen("best_of=2", models=(D16,))
