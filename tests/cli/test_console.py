"""What a run says of itself while it works."""

import time

import pytest

from genstudio.cli.console import Meter, spell


@pytest.mark.parametrize(
    ("seconds", "said"), [(4.4, "4 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_times_are_spelt_for_people(seconds: float, said: str) -> None:
    assert spell(seconds) == said


def test_a_line_says_how_long_it_will_take_at_the_speed_so_far() -> None:
    """What an earlier run made does not count as speed."""
    meter = Meter("run", 100, quiet=True)
    meter.skip(40)
    assert "left" not in meter.line()
    meter.started = time.monotonic() - 20
    meter.reach(60)
    assert meter.line().startswith("run: 60 of 100, 40 s left, 1.0")
    meter.reach(100)
    assert "left" not in meter.line()
