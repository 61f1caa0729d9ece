"""What a run tells while it goes on: units made, pictures finished.

Shapes: B pictures, C channels, H x W pixels.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from genstudio.media.png import to_image
from genstudio.request import Request, Wanted, spec
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
    there were several candidates: then `wanted` is the winner's own.
    """

    pixels_CHW: Tensor
    wanted: Wanted
    name: str
    position: int
    place: Place
    choice: Choice | None = None

    @property
    def image(self) -> "Image":
        """The picture as Pillow knows it."""
        return to_image(self.pixels_CHW)

    def spec(self, request: Request, facts: dict[str, Any]) -> dict[str, Any]:
        """What its PNG carries, so that `sample --from` makes it again."""
        made = spec(request, {self.place.row: self.wanted}, self.place.size, facts)
        chosen = {"selection": self.choice.facts()} if self.choice else {}
        shown = {"class": self.name} if self.wanted.prompt is None else {"prompt": self.name}
        return {**made, **shown, **chosen}


class Advance(NamedTuple):
    """Unit `step` of a batch is made; `preview()` decodes what is known now to uint8 [B,C,H,W]."""

    batch: range
    step: int
    done: int
    total: int
    preview: Callable[[], Tensor]


Event = Advance | Picture
