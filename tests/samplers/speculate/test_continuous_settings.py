"""`--accel cspd`: what it refuses before anything loads, what it promises, its pictures in the studio."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genstudio.errors import Exit, GenstudioError
from genstudio.measure.memory import held
from genstudio.releases import catalogue, weights
from genstudio.releases.release import Companions, Release
from genstudio.samplers.accelerators import choose_accelerators, describe, parse, promise
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.guidance import Guidance, Linear
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.speculate.continuous import ContinuousWalk
from genstudio.samplers.steps import DDIM, Denoising, Fixed
from genstudio.studio import Studio
from tests.releases import tiny
from tests.support import genstudio

RECIPE = Recipe(guidance=Guidance(cfg=2.0, ramp=Linear()), steps=8, head=Denoising(steps=Fixed(6)))
WRONG = {
    "wide": replace(tiny.MASKED, code_width=8),
    "patched": replace(tiny.MASKED, patch=2, side=2),
    "large": replace(tiny.MASKED, side=8),
    "few": replace(tiny.MASKED, classes=3),
}


@pytest.fixture
def name(home: Path) -> str:
    """A target with its draft and their tokenizer."""
    small = replace(tiny.MASKED, depth=1, decoder_depth=1, head_depth=1, buffer=2)
    for config, name in ((tiny.MASKED, "tiny-mar"), (small, "tiny-mar-draft"), (tiny.KL, "tiny-kl")):
        release = tiny.release(config, name)
        if name != "tiny-kl":
            draft = Companions(draft="tiny-mar-draft" if name == "tiny-mar" else None)
            release = replace(release, tokenizer="tiny-kl", recipe=RECIPE, companions=draft)
        save(home, release)
    return "tiny-mar"


def save(home: Path, release: Release) -> None:
    network = tiny.network(release.config)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(0.1)
    weights.save_release(home / "models" / release.name, network, release)


@pytest.mark.parametrize("accel", ["cspd", "cspd:mode=official,window=2", "cspd:draft=self,head_steps=3"])
def test_pictures_do_not_depend_on_their_neighbours(name: str, accel: str) -> None:
    studio = Studio.load(name)
    for network in (studio.generator, studio.tokenizer):
        network.double()
    together, alone = (studio.sample(classes="2,7", n=2, seed=5, accel=accel, batch=size) for size in (4, 1))
    assert all(a.pixels_CHW.equal(b.pixels_CHW) for a, b in zip(together, alone, strict=True))
    facts = together[0].account.facts() if together[0].account else {}
    assert facts["passes"] in (3, 5) and 0 <= facts["acceptance"] <= 1


def test_a_setting_becomes_a_walk(name: str) -> None:
    studio = Studio.load(name)
    for accel, tau, own in (("cspd:mode=official", 42.0, False), ("cspd:draft=self,head_steps=2", 1.0, True)):
        accelerators = choose_accelerators(studio.release, [accel])
        assert promise(accelerators, RECIPE) is Exactness.LOSSY
        request: Any = type("Asked", (), {"recipe": RECIPE, "accelerators": accelerators})
        walk = studio.plan(request).walk
        assert isinstance(walk, ContinuousWalk)
        assert walk.comparison.tau == tau and (walk.draft is walk.target) is own


def test_what_was_left_to_the_release_stands_in_the_metadata(name: str) -> None:
    (chosen,) = choose_accelerators(catalogue.find(name), ["cspd"])
    written = "cspd:draft=tiny-mar-draft,mode=corrected,tau=1.0,window=4,prefill=0.05"
    assert describe(chosen) == written and parse(written) == chosen


def test_the_draft_is_counted_as_memory(name: str) -> None:
    release = catalogue.find(name)
    plain, both, own = (
        held(release, 4, "float32", RECIPE, choose_accelerators(release, accel)).total
        for accel in ([], ["cspd"], ["cspd:draft=self,head_steps=2"])
    )
    assert plain == own < both


@pytest.mark.parametrize(
    ("accel", "flags", "says"),
    [
        ("cspd:tau=0", (), "tau = '0' cannot be"),
        ("cspd:tau=-42", (), "tau = '-42' cannot be"),
        ("cspd:tau=nan", (), "tau = 'nan' cannot be"),
        ("cspd:window=0", (), "window = '0' cannot be"),
        ("cspd:prefill=1.5", (), "prefill = '1.5' cannot be"),
        ("cspd:mode=exact", (), "mode = 'exact' cannot be"),
        ("cspd", ("--head-steps", "50:5"), "its head steps 50:5 anneal (DiSA)"),
        ("cspd:draft=self", (), "draft=self needs head_steps below 6"),
        ("cspd:draft=self,head_steps=6", (), "draft=self needs head_steps below 6"),
        ("cspd:head_steps=7", (), "cannot take 7 head steps where the model takes 6"),
        ("cspd:draft=nobody", (), "There is no model 'nobody'"),
        ("cspd:draft=tiny-kl", (), "its draft tiny-kl is a kl, not a mar"),
        ("cspd:draft=wide", (), "its draft wide has 8 channels in a cell, the model 4"),
        ("cspd:draft=patched", (), "its draft patched has 2 cells on the side of a token, the model 1"),
        ("cspd:draft=large", (), "its draft large has 8 tokens in a row, the model 4"),
        ("cspd:draft=few", (), "its draft few has 3 classes, the model 10"),
        ("cspd:draft=other", (), "its draft other has another tokenizer, other-kl"),
        ("jacobi", (), "a mar does not make one code after the other"),
    ],
)
def test_what_does_not_fit_is_refused_before_weights_load(
    name: str, home: Path, accel: str, flags: tuple[str, ...], says: str
) -> None:
    (home / "models" / name / "model.safetensors").unlink()
    for wrong, config in WRONG.items():
        save(home, replace(tiny.release(config, wrong), tokenizer="tiny-kl"))
    save(home, tiny.release(replace(tiny.KL, scale=0.7), "other-kl"))
    save(home, replace(tiny.release(tiny.MASKED, "other"), tokenizer="other-kl"))
    ran = genstudio("sample", name, "-c", "3", "--accel", accel, *flags)
    assert ran.code == Exit.USAGE and says in ran.err


def test_other_generators_and_chains_without_noise_are_refused(name: str, tiny_var: str) -> None:
    with pytest.raises(GenstudioError, match="a var does not make random sets of continuous tokens"):
        choose_accelerators(catalogue.find(tiny_var), ["cspd"])
    release = catalogue.find(name)
    calm = replace(RECIPE, head=Denoising(steps=Fixed(6), chain=DDIM()))
    with pytest.raises(GenstudioError, match="adds no noise"):
        choose_accelerators(release, ["cspd"], calm)
    with pytest.raises(GenstudioError, match="names no draft"):
        choose_accelerators(replace(release, companions=Companions()), ["cspd"])
    with pytest.raises(GenstudioError, match="does not say how tokens are denoised"):
        choose_accelerators(release, ["cspd"], Recipe(steps=8))


def test_a_target_that_is_no_number_is_an_error(name: str) -> None:
    studio = Studio.load(name)
    studio.generator.get_parameter("mask_token").data.fill_(torch.nan)
    with pytest.raises(GenstudioError, match="NaN"):
        studio.sample(classes="2", n=1, accel="cspd")
