"""Necessary work against published and closed-form numbers."""

from dataclasses import replace

import pytest

from genstudio.measure.work import work
from genstudio.releases import catalogue
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe


def test_var_d16_needs_what_is_known_of_it(home: object) -> None:
    found = work(catalogue.find("var-d16"), 1, "float32")
    assert found.transformer == pytest.approx(0.60e12, rel=0.05)
    assert found.decoder == pytest.approx(0.39e12, rel=0.05)


def test_the_transformer_by_hand(tiny_var: str) -> None:
    """Two operations a weight and row, and attention over what is there; blocks at every step, conditions
    once, the head without null rows at the first scale."""
    release = catalogue.find(tiny_var)
    width, depth, slots, rows = 64, 2, (1, 4, 16), 2
    seen = (1, 5, 21)
    blocks = depth * rows * sum(slots) * 12 * width**2
    attention = depth * rows * 2 * width * sum(n * m for n, m in zip(slots, seen, strict=True))
    conditions = rows * width**2 * (depth * 6 + 2)
    embedded = 20 * 8 * width
    heads = width * 64 * (1 + rows * 20)
    phis = 3 * 16 * 9 * 8 * 8
    found = work(release, 1, "float32")
    assert found.transformer == 2 * (blocks + attention + conditions + embedded + heads + phis)


def test_no_guidance_is_half_the_rows(tiny_var: str) -> None:
    release = catalogue.find(tiny_var)
    guided = work(release, 1, "float32", Recipe(guidance=Guidance(cfg=1.5, ramp=Plus())))
    plain = work(release, 1, "float32", Recipe())
    assert 1.8 < guided.transformer / plain.transformer < 2
    assert guided.decoder == plain.decoder


def test_more_pictures_read_weights_once_and_caches_each(tiny_var: str) -> None:
    release = catalogue.find(tiny_var)
    one, two = (work(release, batch, "float32") for batch in (1, 2))
    assert (two.transformer, two.decoder) == (2 * one.transformer, 2 * one.decoder)
    keys_and_values = 2 * 2 * 2 * 64 * (1 + 5 + 21) * 4
    in_the_decoder = 3 * 2 * 16 * 64 * 4
    assert two.read - one.read == keys_and_values + in_the_decoder
    narrow = work(release, 1, "bfloat16")
    assert narrow.read < one.read and narrow.transformer == one.transformer


def test_depth_costs_in_proportion(home: object) -> None:
    release = catalogue.find("var-fashion")
    config = release.generator
    counts = [
        work(replace(release, config=replace(config, depth=depth)), 1, "float32").transformer
        for depth in (1, 2, 4)
    ]
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0]) > 0
