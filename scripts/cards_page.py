"""The text of checkpoints/README.md: every bundled model with what it cost and what it scores.

Written from release.json files and measured numbers alone, so that no number in it is typed by hand.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genstudio.releases.release import Release

HEAD = """# Checkpoints that ship with genstudio

Written by `python scripts/cards.py` from the releases and from [scores.json](scores.json), which
`python scripts/cards.py --all` measures again. Every folder has a card.
"""
NOTES = """Distance: Frechet distance in the classifier's features against the statistics of all training
pictures, with its 95 % interval (jackknife over 20 blocks); bias: what the finite number of pictures adds.
Noise: standard deviation, of pixels from 0 to 1. Precision and recall: k = 3. Class share: pictures that the
classifier takes for the class asked for. Seconds an image: sampling alone, at the batch and number of threads
in scores.json. What the numbers mean: [docs/evaluation.md](../docs/evaluation.md).

`picture.png` here and in the folders is what `genstudio models verify` sends through a tokenizer and back;
this one is drawn with Noto Color Emoji (OFL).
"""
COST = "parameters | stored | pictures seen | minutes"
NUMBERS = "distance | 95 % | bias | precision | recall | class share"


def page(releases: "list[Release]", scores: dict[str, Any]) -> str:
    """The whole file."""
    sections = [
        ("Generators", _generators(releases, scores)),
        ("Tokenizers", _tokenizers(releases, scores)),
        ("Classifiers", _classifiers(releases)),
        ("The scale of the distances", _scale(scores)),
    ]
    return "\n".join([HEAD, *(f"## {title}\n\n{table}\n" for title, table in sections), NOTES])


def _generators(releases: "list[Release]", scores: dict[str, Any]) -> str:
    rows = [
        [
            *_about(one),
            *_cost(one),
            _millions(_parameters(one) + _parameters(_find(releases, one.tokenizer))),
            *_run(scores.get(one.name)),
            *_numbers(scores.get(one.name)),
        ]
        for one in releases
        if one.tokenizer
    ]
    return _table(f"model | {COST} | with tokenizer | s an image | samples | seeds | {NUMBERS}", rows)


def _tokenizers(releases: "list[Release]", scores: dict[str, Any]) -> str:
    rows = []
    for one in releases:
        if one.tokenizer is None and one.method != "classifier":
            found = scores.get(one.name)
            psnr = f"{found['psnr']:.2f} dB" if found else ""
            rows.append([*_about(one), *_cost(one), psnr, *_numbers(found)])
    return _table(f"tokenizer | {COST} | PSNR | {NUMBERS}", rows)


def _classifiers(releases: "list[Release]") -> str:
    rows = [[*_about(one), *_cost(one)] for one in releases if one.method == "classifier"]
    return _table(f"classifier | {COST}", rows)


def _scale(scores: dict[str, Any]) -> str:
    """Real pictures, and what noise does to them."""
    rows = [
        [f"{name}, {level}", *_numbers(found)]
        for name, levels in scores.items()
        if name.endswith(" test")
        for level, found in levels.items()
        if isinstance(found, dict)
    ]
    return _table(f"pictures | {NUMBERS}", rows)


def _about(release: "Release") -> list[str]:
    return [f"[{release.name}]({release.name}/README.md)", _millions(_parameters(release))]


def _cost(release: "Release") -> list[str]:
    trained = release.trained
    seen = [f"{trained.pictures:,}", f"{trained.minutes:g} ({trained.device})"] if trained else ["", ""]
    return [_stored(release), *seen]


def _run(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["", "", ""]
    first, last = found["seeds"]
    return [f"{found['seconds_per_image']:.4f}", f"{found['samples']:,}", f"{first} to {last}"]


def _numbers(found: dict[str, Any] | None) -> list[str]:
    """Distance with interval and bias, precision, recall, share."""
    if found is None:
        return [""] * 6
    metrics = found["metrics"]
    distance = metrics["frechet"]
    interval = f"{distance['low']:.3g} to {distance['high']:.3g}" if "low" in distance else ""
    shares = [metrics.get(name, {}).get("value") for name in ("precision", "recall", "class_share")]
    said = ["" if share is None else f"{share:.3f}" for share in shares]
    return [f"{distance['value']:.3g}", interval, f"{distance.get('bias', 0):.2g}", *said]


def _find(releases: "list[Release]", name: str | None) -> "Release":
    return next(one for one in releases if one.name == name)


def _parameters(release: "Release") -> int:
    from math import prod

    from genstudio import registry

    return sum(prod(shape) for shape in registry.shapes(release.config).values())


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _stored(release: "Release") -> str:
    folder = Path(release.folder or "")
    size = (folder / "model.safetensors").stat().st_size / 1e6
    statistics = folder / "reference.safetensors"
    beside = f", statistics {statistics.stat().st_size / 1e6:.2f} MB" if statistics.is_file() else ""
    return f"{size:.2f} MB{beside}"


def _table(heads: str, rows: Iterable[list[str]]) -> str:
    columns = heads.count("|") + 1
    lines = [f"| {heads} |", "|" + "---|" * columns, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)
