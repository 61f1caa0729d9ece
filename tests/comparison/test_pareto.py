"""The front of time and distance, and the fastest setting of equal quality, on points made by hand."""

from genstudio.comparison.pareto import blurred, front, matching, surely_faster
from tests.comparison.points import point

PLAIN = point("plain", 1.0, 2.0, plain=True)
FAST = point("fast", 0.5, 2.08)
FASTER = point("faster", 0.4, 2.5)
SLOW = point("slow", 1.5, 1.5)
BEATEN = point("beaten", 1.2, 2.2)
POINTS = [PLAIN, FAST, FASTER, SLOW, BEATEN]


def test_the_front_holds_what_nothing_beats_fastest_first() -> None:
    assert front(POINTS) == [FASTER, FAST, PLAIN, SLOW]
    assert front([BEATEN]) == [BEATEN]
    assert front([]) == []


def test_a_point_as_fast_but_further_is_beaten() -> None:
    assert front([PLAIN, point("same time", 1.0, 2.1)]) == [PLAIN]
    assert front([PLAIN, point("same distance", 1.1, 2.0)]) == [PLAIN]


def test_equal_points_beat_each_other_not() -> None:
    twin = point("twin", 1.0, 2.0)
    assert front([PLAIN, twin]) == [PLAIN, twin]


def test_the_fastest_point_within_the_tolerance_is_chosen() -> None:
    assert matching(POINTS, 0.1) == {"m": FAST}
    assert matching(POINTS, 0.0) == {"m": PLAIN}
    assert matching(POINTS, 0.5) == {"m": FASTER}


def test_every_model_is_matched_with_its_own_plain_recipe() -> None:
    other = point("plain", 0.1, 5.0, plain=True, model="n")
    near = point("near", 0.05, 5.05, model="n")
    assert matching([*POINTS, other, near], 0.1) == {"m": FAST, "n": near}
    assert matching([near], 0.1) == {}


def test_of_equally_fast_points_the_closest_is_chosen() -> None:
    closer = point("closer", 0.5, 2.02)
    assert matching([*POINTS, closer], 0.1) == {"m": closer}


def test_a_tolerance_finer_than_the_intervals_is_told() -> None:
    assert not blurred(POINTS, 0.1)
    assert blurred(POINTS, 0.04)
    assert blurred([*POINTS, point("without interval", 1.0, 2.0, width=None)], 0.1)


def test_faster_is_sure_only_beyond_the_spread_of_times() -> None:
    assert surely_faster(FAST, PLAIN)
    assert not surely_faster(point("about as fast", 0.99, 2.0), PLAIN)
    assert not surely_faster(PLAIN, FAST)
