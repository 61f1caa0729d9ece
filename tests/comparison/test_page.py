"""The page: everything said, nothing fetched, and really shown by a browser that has no network."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.comparison.page import page
from genstudio.comparison.point import Point, Score
from genstudio.comparison.report import Report
from tests.comparison.points import NAMES, point

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1600")
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"


def curve(model: str = "m", **other: object) -> list[Point]:
    return [
        point(f"cfg {x}", 0.01 * (5 - x), 1.0 + x / 4, knobs={"cfg": x}, plain=x == 0, model=model, **other)
        for x in range(4)
    ]


def report(*points: Point, total: int = 4, tolerance: float | None = 0.3) -> Report:
    return Report(points=points, total=total, varied=("cfg",), tolerance=tolerance, date="2026-11-24")


class Outline(HTMLParser):
    """Elements with their attributes, and the text outside of the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_fetches_nothing() -> None:
    text = page(report(*curve()))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    found = Outline(text).elements
    links = [value for _, attrs in found for name, value in attrs.items() if name in ("src", "href")]
    assert len(links) == 8 and all(str(link).startswith("data:image/png;base64,") for link in links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in found}


def test_names_are_escaped_everywhere() -> None:
    text = page(report(*curve(model='<script>"x"'), total=4))
    assert "<script" not in text and NAMES[1] not in text and "&lt;b&gt;" in text


def test_what_was_found_is_said() -> None:
    said = Outline(page(report(*curve()))).text
    assert "m, varying cfg" in said and "4 settings on the same seeds, 100 pictures each. 2026-11-24." in said
    assert "m: fastest within 0.3 of the plain recipe's distance cfg 1 40 ms a picture, 1.25 times" in said
    assert "Frechet distance-100 (tiny-judge)" in said and "0.95 to 1.05" in said
    assert "seeds 0 to 99" in said and "Distance over cfg" in said and "Precision and recall over cfg" in said
    assert "more pictures tell" not in said and "flatters" not in said and "are finished" not in said
    assert "no measurement" not in said


def test_warnings_stand_where_they_belong() -> None:
    said = Outline(page(report(*curve(), tolerance=0.01, total=9))).text
    assert "4 of 9 settings are finished" in said and "more pictures tell" in said
    assert "no faster setting comes as close" in said
    assert "flatters" in Outline(page(report(*curve(judge="tiny-judge")))).text
    assert "up to 45 % of the processors" in Outline(page(report(*curve(busy=0.45)))).text


def test_without_a_tolerance_nothing_is_chosen() -> None:
    said = Outline(page(report(*curve(), tolerance=None))).text
    assert "fastest within" not in said and "chosen" not in said.replace("were chosen", "")


def test_two_models_are_told_apart() -> None:
    text = page(report(*curve(), *curve(model="other"), total=8))
    assert {"series-0", "series-1"} <= set(re.findall(r"series-\d", text.split("</style>")[1]))
    assert Outline(text).text.count("other: fastest within") == 1


def test_one_point_makes_a_page() -> None:
    alone = point("plain recipe", 2.0, 1.0, plain=True, width=None, peak_bytes=None)
    said = Outline(page(report(alone, total=2, tolerance=None))).text
    assert "2 s" in said and "peak memory" not in said.lower()


def test_scores_that_only_some_points_have_leave_gaps() -> None:
    more = point("more", 1.0, 1.0)
    more.scores["kid"] = Score(label="KID", value=0.00123)
    said = Outline(page(report(*curve(), more))).text
    assert "KID" in said and "0.00123" in said


@pytest.fixture
def browser() -> str:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return CHROMIUM


def opened(browser: str, path: Path, tmp_path: Path, *flags: str) -> str:
    """What the browser writes to stdout, without any network."""
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [browser, *FLAGS, OFFLINE, profile, *flags, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


# Sizes are known only after layout: the browser writes them into the title, which the dumped page then holds.
PROBE = """<script>onload = () => document.title = JSON.stringify([
  [...document.images].filter(one => one.complete && one.naturalWidth == 8 && one.width >= 64).length,
  [...document.querySelectorAll("#points tbody tr")].filter(one => one.offsetHeight > 20).length,
  [...document.querySelectorAll("svg.chart")].filter(one => one.getBoundingClientRect().width > 200).length,
  performance.getEntriesByType("resource").filter(one => !one.name.startsWith("data:")).length,
  document.documentElement.scrollWidth <= innerWidth])</script>"""


def test_a_browser_shows_rows_pictures_and_charts(browser: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(report(*curve())) + PROBE, encoding="utf-8")
    shown = re.search(r"<title>(.*?)</title>", opened(browser, file, tmp_path, "--dump-dom"))
    assert shown is not None and shown[1] == "[8,4,3,0,true]"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_screenshot_is_not_blank(browser: str, tmp_path: Path, scheme: str) -> None:
    file, shot = tmp_path / "report.html", tmp_path / "shot.png"
    file.write_text(page(report(*curve())), encoding="utf-8")
    dark = ("--blink-settings=preferredColorScheme=0",) if scheme == "dark" else ()
    opened(browser, file, tmp_path, f"--screenshot={shot}", *dark)
    pixels = np.asarray(Image.open(shot).convert("L"))
    background = np.median(pixels)
    assert (background < 60) == (scheme == "dark")
    assert 0.01 < (np.abs(pixels - background) > 40).mean() < 0.5
