"""What a run tells while it goes on: units made, pictures finished.

Shapes: B pictures, C channels, H x W pixels.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from genstudio.media.png import to_image
from genstudio.request import Request, Wanted, spec
from genstudio.samplers.speculate.account import Account
from genstudio.selection import Choice

if TYPE_CHECKING:
    from PIL.Image import Image


class Place(NamedTuple):
    """Where a picture was made: its row in a batch of that size. Arithmetic may differ in the last bit
    between batch shapes, so a replay takes the same place."""

    size: int
    row: int


class Picture(NamedTuple):
    """One finished picture: uint8 pixels, what it was made from, its class by name or its prompt.

    `position` is where it stands among the pictures of the request; `choice` says how it was chosen, where
    there were several candidates: then `wanted` is the winner's own. `account` says how its codes came to be
    where they were drafted.
    """

    pixels_CHW: Tensor
    wanted: Wanted
    name: str
    position: int
    place: Place
    choice: Choice | None = None
    account: Account | None = None

    @property
    def image(self) -> "Image":
        """The picture as Pillow knows it."""
        return to_image(self.pixels_CHW)

    def spec(self, request: Request, facts: dict[str, Any]) -> dict[str, Any]:
        """What its PNG carries, so that `sample --from` makes it again."""
        made = spec(request, {self.place.row: self.wanted}, self.place.size, facts)
        chosen = {"selection": self.choice.facts()} if self.choice else {}
        drafted = {"drafting": self.account.facts()} if self.account else {}
        shown = {"class": self.name} if self.wanted.prompt is None else {"prompt": self.name}
        return {**made, **shown, **chosen, **drafted}


class Advance(NamedTuple):
    """Unit `step` of a batch is made; `preview()` decodes what is known now to uint8 [B,C,H,W]. `stats` are
    the walk's own numbers, `seconds` what the step took (of a CPU; a GPU may still be at it)."""

    batch: range
    step: int
    done: int
    total: int
    preview: Callable[[], Tensor]
    stats: Mapping[str, float] = MappingProxyType({})
    seconds: float = 0.0


Event = Advance | Picture
