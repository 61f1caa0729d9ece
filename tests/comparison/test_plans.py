"""Points can be compared only where classes, pictures and rules of scoring agree."""

from dataclasses import replace

import pytest

from genstudio.comparison.plans import plans
from genstudio.comparison.settings import Setting, parse_varied, settings
from genstudio.errors import GenstudioError
from genstudio.releases import catalogue
from genstudio.releases.release import Release

FASHION = catalogue.find("var-fashion")


def of(*releases: Release) -> list[Setting]:
    return settings([(one.name, one) for one in releases], parse_varied(["cfg=0,1"]), "float32")


def test_all_settings_are_scored_alike_but_for_what_is_compared() -> None:
    found = plans(of(FASHION), samples=50, seed=7, batch=10)
    assert [plan.recipe.guidance.cfg for plan in found if plan.recipe and plan.recipe.guidance] == [0.5, 0, 1]
    first = found[0]
    assert (first.samples, first.seed, first.batch, first.reference) == (50, 7, 10, "fashion train")
    assert all(replace(plan, recipe=first.recipe) == first for plan in found)


def test_other_classes_are_refused() -> None:
    with pytest.raises(GenstudioError, match="different classes"):
        plans(of(FASHION, catalogue.find("var-d16")))


def test_other_protocols_are_refused() -> None:
    assert FASHION.protocol is not None
    other = replace(FASHION, name="other", protocol=replace(FASHION.protocol, labels="random"))
    with pytest.raises(GenstudioError, match="differ in labels: balanced and random"):
        plans(of(FASHION, other))
    assert len(plans(of(FASHION, other), labels="random")) == 6


def test_a_distance_is_needed() -> None:
    with pytest.raises(GenstudioError, match="Without a distance"):
        plans(of(FASHION), metrics=("share",))


def test_a_folder_as_reference_is_refused(tmp_path: object) -> None:
    with pytest.raises(GenstudioError, match="a folder") as caught:
        plans(of(FASHION), reference=str(tmp_path))
    assert "--save-stats" in caught.value.hint
