"""Names of classes, and what a user may write to mean some of them. No torch: commands read it at start.

A release says `classes="imagenet"` (a named set) or carries its own tuple of names.
"""

import ast
import difflib
import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from genstudio.errors import Exit, GenstudioError

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


NO_CLASS = "none"


def labels(name: str) -> tuple[str, ...]:
    """The names of a label set, `fashion` or `imagenet`; label i is item i."""
    if name not in _SETS:
        raise GenstudioError(f"There is no label set {name!r}.", f"Known sets: {', '.join(_SETS)}.")
    return _SETS[name]()


def names_of(classes: str | tuple[str, ...] | None, count: int) -> tuple[str, ...]:
    """The names of a network's `count` classes; without `classes` they are called by their numbers.

    Raises GenstudioError when the set has another length, because ids would then mean something else.
    """
    if classes is None:
        return tuple(str(label) for label in range(count))
    names = labels(classes) if isinstance(classes, str) else classes
    if len(names) != count:
        raise GenstudioError(
            f"The model has {count} classes, but its label set has {len(names)} names.",
            "Correct `classes` in the model's release.json.",
            Exit.WEIGHTS,
        )
    return names


def parse_classes(text: str, names: tuple[str, ...]) -> tuple[int | None, ...]:
    """Class ids that a comma list means: ids (`3`), ranges with both ends (`0-9`) and names, in that order.

    Names match whatever their case, spaces, hyphens and underscores. A whole number is always an id. A name
    that holds a comma itself, or that two classes share, has to be given by its id. `none` is None, a picture
    of no class, where no class is called so.
    Raises GenstudioError for an unknown name (with the nearest ones) and an id out of range.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(label for part in parts for label in _parse_one(part, names))


def name_of(label: int | None, names: tuple[str, ...]) -> str:
    """The name of a class, or of none."""
    return NO_CLASS if label is None else names[label]


def _parse_one(part: str, names: tuple[str, ...]) -> list[int] | list[None]:
    numbers = re.fullmatch(r"(-?\d+)(?:-(\d+))?", part)
    if _key(part) == NO_CLASS and NO_CLASS not in map(_key, names):
        return [None]
    if numbers is None:
        return [_by_name(part, names)]
    first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    if not 0 <= first <= last < len(names):
        raise GenstudioError(
            f"Class {part} is out of range.", f"This model has the classes 0 to {len(names) - 1}."
        )
    return list(range(first, last + 1))


def _by_name(part: str, names: tuple[str, ...]) -> int:
    keys = [_key(name) for name in names]
    found = [label for label, key in enumerate(keys) if key == _key(part)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = " and ".join(str(label) for label in found)
        raise GenstudioError(f"{part!r} names the classes {ids}.", "Give the id of the one you mean.")
    near = [names[keys.index(key)] for key in difflib.get_close_matches(_key(part), keys, n=3, cutoff=0.5)]
    hint = (
        f"Did you mean {', '.join(near)}?" if near else f"Give an id from 0 to {len(names) - 1}, or a name."
    )
    raise GenstudioError(f"There is no class {part!r}.", hint)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


@cache
def _imagenet() -> tuple[str, ...]:
    """torchvision's list of the 1000 names, read from its source: importing torchvision would import torch,
    which costs seconds in commands that only look a name up."""
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        raise GenstudioError("The ImageNet names come with torchvision.", "Install torchvision.")
    tree = ast.parse((Path(package.origin).parent / "models" / "_meta.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_IMAGENET_CATEGORIES":
            return tuple(ast.literal_eval(node.value))
    raise GenstudioError("This torchvision does not list the ImageNet names.", "Give class ids instead.")


_SETS: dict[str, Callable[[], tuple[str, ...]]] = {"fashion": lambda: FASHION, "imagenet": _imagenet}
