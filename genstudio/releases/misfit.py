"""What is wrong between the tensors that a network needs and those that a file holds, in one sentence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, Sequence[int]]

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """Names that differ; false when nothing does. `misshaped` and `different` entries carry their reason."""

    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown or self.misshaped or self.different)

    def __str__(self) -> str:
        kinds = {
            "missing": self.missing,
            "unknown": self.unknown,
            "of another shape": self.misshaped,
            "with other values than the architecture implies": self.different,
        }
        return ", ".join(_listed(names, kind) for kind, names in kinds.items() if names)


def compare(found: Shapes, expected: Shapes) -> Misfit:
    """Names and shapes of a file against those of a network."""
    return Misfit(
        missing=tuple(name for name in expected if name not in found),
        unknown=tuple(name for name in found if name not in expected),
        misshaped=tuple(_misshaped(found, expected)),
    )


def shape_text(shape: Sequence[int]) -> str:
    """A shape for people, e.g. "1024x32"; "one number" for a scalar."""
    return "x".join(map(str, shape)) or "one number"


def _misshaped(found: Shapes, expected: Shapes) -> Iterable[str]:
    for name in expected.keys() & found.keys():
        if tuple(found[name]) != tuple(expected[name]):
            yield f"{name} is {shape_text(found[name])}, not {shape_text(expected[name])}"


def _listed(names: tuple[str, ...], kind: str) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {kind} ({shown})"
