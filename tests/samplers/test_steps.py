"""Step rules against the counts that the papers' code prints."""

import pytest

from genstudio.samplers.steps import Annealed, Fixed, StepRule


def counts(rule: StepRule, units: int) -> list[int]:
    return [rule.count(unit, units) for unit in range(units)]


def test_published_counts() -> None:
    mar = counts(Annealed(50, 5), 64)
    assert mar[:16] == [50, 49, 48, 47, 47, 46, 45, 45, 44, 43, 42, 42, 41, 40, 40, 39]
    assert mar[-5:] == [7, 7, 6, 5, 5] and sum(mar) == 1733
    assert counts(Annealed(50, 15), 4) == [50, 38, 26, 15], "xAR"
    assert counts(Annealed(50, 15), 5) == [50, 41, 32, 23, 15], "FlowAR-H"
    assert counts(Annealed(25, 15), 5) == [25, 22, 20, 17, 15], "FlowAR-S, -L"


def test_the_other_rules() -> None:
    assert counts(Annealed(16, 6, "two-stage"), 5) == [16, 16, 6, 6, 6]
    assert counts(Annealed(20, 4, "constant"), 3) == [4, 4, 4]
    assert counts(Annealed(20, 4, "cosine"), 3) == [20, 12, 4]


@pytest.mark.parametrize("rule", ["linear", "cosine", "two-stage", "constant"])
def test_equal_bounds_are_a_fixed_count(rule: str) -> None:
    assert counts(Annealed(9, 9, rule), 6) == counts(Fixed(9), 6) == [9] * 6


@pytest.mark.parametrize("rule", ["linear", "cosine", "two-stage"])
def test_a_picture_of_one_unit_gets_the_upper_count(rule: str) -> None:
    assert counts(Annealed(20, 4, rule), 1) == [20]
