"""What a sampling run leaves behind: a PNG per picture, previews per step, and one grid.

Names never overwrite anything: a taken one gets a counter.
"""

import math
from pathlib import Path
from typing import Any

import torch

from genstudio.events import Advance, Picture
from genstudio.media.grid import grid
from genstudio.media.png import save_png, to_image, unique_path
from genstudio.request import Request, Wanted, spec


class Outputs:
    """Files of one run below `folder`; `with_grid` None means a grid as soon as there are two pictures."""

    def __init__(self, folder: Path, with_grid: bool | None, previews: Path | None) -> None:
        self.folder, self.with_grid, self.previews = folder, with_grid, previews
        self.written: list[tuple[Picture, Path]] = []
        self.grid: Path | None = None

    def save(self, picture: Picture, request: Request, facts: dict[str, Any]) -> None:
        """Write one picture with the run that makes it again."""
        path = unique_path(self.folder / f"{_name(picture.wanted)}.png")
        save_png(path, picture.image, picture.spec(request, facts))
        self.written.append((picture, path))

    def preview(self, event: Advance, request: Request) -> None:
        """Write what is known after a step, one file per picture, if the user asked for it."""
        if self.previews is None:
            return
        for position, pixels_CHW in zip(event.batch, event.preview(), strict=True):
            if request.kept(position):
                name = f"{_name(request.pictures[position])}-{event.step:02d}.png"
                save_png(unique_path(self.previews / name), to_image(pixels_CHW))

    def finish(self, request: Request, facts: dict[str, Any]) -> None:
        """Write the grid, captioned with seeds and classes; its spec makes all of its pictures again."""
        wanted = len(self.written) > 1 if self.with_grid is None else self.with_grid
        if not wanted or not self.written:
            return
        pictures = [picture for picture, _ in self.written]
        pixels = torch.stack([picture.pixels_CHW for picture in pictures])
        sheet = grid(pixels, _columns(pictures), [f"{one.wanted.seed} {one.name}" for one in pictures])
        rows = {picture.position: picture.wanted for picture in pictures}
        size = min(request.batch, len(request.pictures))
        first, last = pictures[0].wanted, pictures[-1].wanted
        path = unique_path(self.folder / f"grid-{first.seed:06d}-{last.seed:06d}.png")
        save_png(path, sheet, spec(request, rows, size, facts))
        self.grid = path

    def report(self) -> dict[str, Any]:
        """The files, for --json."""
        entries = [
            {
                "file": str(path),
                "label": picture.wanted.label,
                "class": picture.name,
                "seed": picture.wanted.seed,
                **({"selection": picture.choice.facts()} if picture.choice else {}),
            }
            for picture, path in self.written
        ]
        return {"pictures": entries, "grid": str(self.grid) if self.grid else None}


def _name(wanted: Wanted) -> str:
    return f"{wanted.label:03d}-{wanted.seed:06d}"


def _columns(pictures: list[Picture]) -> int:
    """One class per row where every class has the same number of pictures, else about a square."""
    classes = {picture.wanted.label for picture in pictures}
    each, rest = divmod(len(pictures), len(classes))
    if rest == 0 and 1 < each <= 16:
        return each
    return math.ceil(math.sqrt(len(pictures)))
