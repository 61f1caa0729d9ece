"""Plans: the protocol by default, and every deviation from it said in words."""

from dataclasses import replace

import pytest

from genstudio.errors import GenstudioError
from genstudio.evaluation.plan import deviations, parse_metrics, plan_for
from genstudio.releases import catalogue

D16 = catalogue.find("var-d16")


def test_with_no_options_the_plan_is_the_protocol_and_the_published_recipe() -> None:
    plan = plan_for(D16, "var-d16")
    assert (plan.samples, plan.labels, plan.extractor) == (50_000, "balanced", "inception-v3-compat")
    assert (plan.reference, plan.suite) == ("imagenet-256", "adm")
    assert plan.metrics == ("fid", "sfid", "is", "pr")
    assert plan.recipe == D16.recipe
    assert deviations(plan, D16) == []


def test_seed_and_batch_are_nobodys_protocol() -> None:
    assert deviations(plan_for(D16, "var-d16", seed=7, batch=3), D16) == []


def test_every_other_difference_is_named() -> None:
    recipe = D16.recipe.override(cfg=2.0)
    plan = plan_for(D16, "var-d16", samples=2_000, labels="random", reference="ref.npz", recipe=recipe)
    said = deviations(plan, D16)
    assert said[0].startswith("recipe: cfg 2 ") and "not cfg 1.5" in said[0]
    assert "samples: 2,000, not 50,000" in said
    assert "labels: random, not balanced" in said
    assert "reference: ref.npz, not imagenet-256" in said
    assert len(said) == 4


def test_a_protocol_may_score_pictures_of_another_size_than_a_model_makes() -> None:
    large = catalogue.find("llamagen-b-384")
    plan = plan_for(large, large.name)
    assert plan.side == 256 and deviations(plan, large) == []
    assert deviations(replace(plan, side=None), large) == ["side: None, not 256"]
    assert plan_for(catalogue.find("llamagen-b-256"), "llamagen-b-256").side is None


def test_a_choice_among_candidates_is_a_deviation() -> None:
    from genstudio.selection import choose_selection

    fashion = catalogue.find("var-fashion")
    plan = plan_for(fashion, "var-fashion", selection=choose_selection(fashion, best_of=4))
    assert deviations(plan, fashion) == ["selection: best of 4 (fashion-features)"]


def test_without_a_protocol_extractor_and_reference_have_to_be_said() -> None:
    bare = replace(D16, protocol=None)
    with pytest.raises(GenstudioError, match="no published protocol"):
        plan_for(bare, "bare", extractor="fashion-features")
    plan = plan_for(bare, "bare", extractor="fashion-features", reference="real")
    assert plan.samples == 10_000 and plan.metrics is None
    assert deviations(plan, bare) == ["var-d16 has no published protocol"]


def test_metrics_by_name() -> None:
    assert parse_metrics("kid, fid") == ("kid", "fid")
    with pytest.raises(GenstudioError, match="'fdi'"):
        parse_metrics("fid,fdi")
