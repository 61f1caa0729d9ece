"""Points made by hand, for tests of what follows from them."""

import base64
import io
from typing import Any

from PIL import Image

from genstudio.comparison.point import Point, Score, Seconds, Shown
from genstudio.comparison.settings import FIELDS

HELD = {"device": "cpu", "seeds": "0 to 99", "extractor": "tiny-judge", "versions": {"torch": "2"}}
NAMES = ("bag", '<b>&"shoe"')


def point(name: str, seconds: float, distance: float, **other: Any) -> Point:
    """A point of 100 pictures; its times vary by 1 % and its distance by 0.05 to both sides."""
    knobs = dict.fromkeys(FIELDS) | other.pop("knobs", {})
    width = other.pop("width", 0.05)
    low, high = (None, None) if width is None else (distance - width, distance + width)
    scores = {
        "frechet": Score(
            label="Frechet distance-100 (tiny-judge)", value=distance, low=low, high=high, bias=0.01
        ),
        "precision": Score(label="precision-100 (tiny-judge)", value=0.9),
        "recall": Score(label="recall-100 (tiny-judge)", value=0.5 + distance / 10),
    }
    given: dict[str, Any] = {
        "key": name.replace(" ", "-"),
        "model": "m",
        "plain": False,
        "label": "other recipe",
        "recipe": name,
        "judge": None,
        "samples": 100,
        "times": Seconds(median=seconds, low=seconds * 0.99, high=seconds * 1.01),
        "busy": 0.0,
        "peak_bytes": 5_000_000,
        "digest": "0" * 64,
        "held": HELD,
        "pictures": pictures(),
    }
    return Point(name=name, knobs=knobs, scores=scores, **(given | other))


def pictures() -> tuple[Shown, ...]:
    """Two small grey squares."""
    content = io.BytesIO()
    Image.new("L", (8, 8), 128).save(content, format="PNG")
    png = base64.b64encode(content.getvalue()).decode()
    return tuple(Shown(label=i, name=name, seed=i, png=png) for i, name in enumerate(NAMES))
