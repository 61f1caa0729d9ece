"""How the codes of a picture came to be: by which pass of the network, from a draft or not.

The draft-verify loop tells it to a trace; a `Book` listens, and has an `Account` of every picture in the end.
Shapes: B pictures, L codes of a picture.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from torch import Tensor


class Origin(IntEnum):
    """Where a code came from. PLAIN: nobody had drafted it. ACCEPTED: a draft stood. REDRAWN: drafts were
    refused in its place, and the target chose."""

    PLAIN = 0
    ACCEPTED = 1
    REDRAWN = 2


class Account(NamedTuple):
    """Of one picture: the `Origin` of every code, and the pass that made it, counted from 0."""

    origin_L: Tensor
    pass_L: Tensor

    @property
    def passes(self) -> int:
        """How many passes of the network the picture took, the first one, over its condition, included."""
        return int(self.pass_L.max()) + 1

    @property
    def codes_per_pass(self) -> float:
        """Codes that a pass behind the first one made."""
        later = int((self.pass_L > 0).sum())
        return later / max(1, self.passes - 1)

    @property
    def acceptance(self) -> float:
        """The share of judged places whose draft was accepted."""
        accepted, redrawn = self.count(Origin.ACCEPTED), self.count(Origin.REDRAWN)
        return accepted / max(1, accepted + redrawn)

    def count(self, origin: Origin) -> int:
        """Codes of that origin."""
        return int((self.origin_L == origin).sum())

    def facts(self) -> dict[str, float]:
        """For a picture's metadata."""
        return {
            "passes": self.passes,
            "codes_per_pass": round(self.codes_per_pass, 3),
            "acceptance": round(self.acceptance, 3),
        }


@dataclass
class Book:
    """A trace that keeps what the loop told of origins last."""

    told: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, name: str, value: Tensor) -> None:
        if name in ("origins", "passes"):
            self.told[name] = value

    def accounts(self) -> list[Account]:
        """One for each picture, on the CPU; none where nothing was drafted."""
        if not self.told:
            return []
        pairs = zip(self.told["origins"].cpu(), self.told["passes"].cpu(), strict=True)
        return [Account(origin_L, pass_L) for origin_L, pass_L in pairs]
