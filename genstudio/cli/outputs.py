"""What a sampling run leaves behind: a PNG per picture, previews per step, animations of them, and one grid.

Names never overwrite anything: a taken one gets a counter. What is seen meanwhile is decoded once per step,
whoever looks at it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from genstudio.cli.console import note
from genstudio.cli.drafting import drafting
from genstudio.data.labels import NO_CLASS
from genstudio.events import Advance, Picture
from genstudio.media.animation import Format, save_animation
from genstudio.media.grid import grid
from genstudio.media.overlay import sheet
from genstudio.media.png import save_png, to_image
from genstudio.processes import Processes
from genstudio.request import Request, Wanted, spec
from genstudio.text.prompts import slug

if TYPE_CHECKING:
    from PIL.Image import Image

    from genstudio.measure.pace import Pace
    from genstudio.media.screen import Screen

MOST_ANIMATED: Final = 100  # pictures of a grid whose frames are held until all are made


@dataclass(kw_only=True)
class Outputs:
    """Files of one run below `folder`; `with_grid` None means a grid as soon as there are two pictures.

    `previews` are folders for the picture of every step, `screen` is where they are shown, `overlay` is the
    file that shows where drafts were accepted.
    """

    folder: Path
    with_grid: bool | None = None
    captions: bool = True
    previews: tuple[Path, ...] = ()
    animate: Format | None = None
    overlay: Path | None = None
    screen: "Screen | None" = None
    written: list[tuple[Picture, Path]] = field(default_factory=list)
    moving: dict[int, Path] = field(default_factory=dict)
    grid: Path | None = None
    moving_grid: Path | None = None
    frames: dict[int, list[Tensor]] = field(default_factory=dict)

    def advance(self, event: Advance, request: Request, status: str) -> None:
        """Show what is known after a step to everybody who wants to see it."""
        if not (self.previews or self.animate or self.screen):
            return
        steps = zip(event.batch, event.preview(), strict=True)
        shown = {position: pixels_CHW for position, pixels_CHW in steps if request.kept(position)}
        for position, pixels_CHW in shown.items():
            name = f"{_name(request.pictures[position])}-{event.step:02d}.png"
            for folder in self.previews:
                save_png(folder / name, to_image(pixels_CHW), fresh=True)
            if self.animate:
                before = self.frames.get(position, []) if event.step else []  # a batch may begin again
                self.frames[position] = [*before, pixels_CHW]
        if self.screen:
            columns = _columns([request.pictures[position] for position in shown])
            self.screen.show(grid(torch.stack(list(shown.values())), columns), status)

    def save(self, picture: Picture, request: Request, facts: dict[str, Any]) -> None:
        """Write one picture with the run that makes it again."""
        path = self.folder / f"{_name(picture.wanted)}.png"
        path = save_png(path, picture.image, picture.spec(request, facts), fresh=True)
        self.written.append((picture, path))
        if self.animate:
            frames = list(map(to_image, self._finished(picture)))
            moving = path.with_suffix(f".{self.animate}")
            self.moving[picture.position] = save_animation(moving, frames, self.animate, fresh=True)
            if not self._few(request):
                del self.frames[picture.position]

    def gather(self, processes: Processes) -> None:
        """What all processes wrote, in the first one, in the order of the request; nothing in the others."""
        self.written = sorted(processes.collect(self.written), key=lambda one: one[0].position)
        self.moving = dict(processes.collect(list(self.moving.items())))
        self.frames = dict(processes.collect(list(self.frames.items())))

    def finish(self, request: Request, facts: dict[str, Any], status: str) -> None:
        """Write the grid, captioned with seeds and classes; its spec makes all of its pictures again."""
        pictures = [picture for picture, _ in self.written]
        if not pictures:
            return
        if len(pictures) > 1 if self.with_grid is None else self.with_grid:
            self._write_grid(pictures, request, facts)
        if self.overlay:
            self.overlay = self._write_overlay(pictures, self.overlay)
        if self.screen:
            self.screen.show(self._sheet(pictures, captions=False), status)

    def say(self, text: str, quiet: bool = False) -> None:
        """A note that does not run into what is drawn."""
        if self.screen and not quiet:
            self.screen.leave()
        note(text, quiet)

    def report(self, request: Request, pace: "Pace | None" = None) -> dict[str, Any]:
        """The files, for --json, and how drafting went."""
        entries = [
            {
                "file": str(path),
                "label": picture.wanted.label,
                "class": picture.name,
                **({"prompt": picture.wanted.prompt} if picture.wanted.prompt is not None else {}),
                "seed": picture.wanted.seed,
                **({"animation": str(self.moving[picture.position])} if self.animate else {}),
                **({"selection": picture.choice.facts()} if picture.choice else {}),
                **({"drafting": picture.account.facts()} if picture.account else {}),
            }
            for picture, path in self.written
        ]
        moving = {"grid_animation": str(self.moving_grid)} if self.moving_grid else {}
        drafted = drafting(request, [picture for picture, _ in self.written], pace)
        overlaid = {"overlay": str(self.overlay)} if self.overlay else {}
        files = {"grid": str(self.grid) if self.grid else None, **moving, **overlaid}
        return {"pictures": entries, **files, **({"drafting": drafted} if drafted else {})}

    def _write_grid(self, pictures: list[Picture], request: Request, facts: dict[str, Any]) -> None:
        rows = {picture.position: picture.wanted for picture in pictures}
        size = min(request.batch, len(request.pictures))
        first, last = pictures[0].wanted, pictures[-1].wanted
        path = self.folder / f"grid-{first.seed:06d}-{last.seed:06d}.png"
        run = spec(request, rows, size, facts)
        self.grid = save_png(path, self._sheet(pictures, self.captions), run, fresh=True)
        if self.animate and self._few(request):
            steps = range(max(map(len, self.frames.values())))
            sheets = [self._sheet(pictures, self.captions, step) for step in steps]
            moving = self.grid.with_suffix(f".{self.animate}")
            self.moving_grid = save_animation(moving, sheets, self.animate, fresh=True)
        elif self.animate:
            self.say(f"Only grids of up to {MOST_ANIMATED} pictures are animated.")

    def _write_overlay(self, pictures: list[Picture], path: Path) -> Path:
        drafted = [(picture, picture.account) for picture in pictures if picture.account]
        pixels = [picture.pixels_CHW for picture, _ in drafted]
        captions = [f"{picture.wanted.seed} {picture.name}" for picture, _ in drafted]
        columns = _columns([picture.wanted for picture, _ in drafted])
        shown = sheet(pixels, [account for _, account in drafted], captions, columns)
        return save_png(path, shown, fresh=True)

    def _sheet(self, pictures: list[Picture], captions: bool, step: int | None = None) -> "Image":
        """All pictures as they are, or as they were after a step."""
        shown = [one.pixels_CHW if step is None else self._frame(one, step) for one in pictures]
        texts = [f"{one.wanted.seed} {one.name}" for one in pictures] if captions else None
        return grid(torch.stack(shown), _columns([one.wanted for one in pictures]), texts)

    def _frame(self, picture: Picture, step: int) -> Tensor:
        """A picture that was finished earlier than others stands still."""
        frames = self.frames[picture.position]
        return frames[min(step, len(frames) - 1)]

    def _finished(self, picture: Picture) -> list[Tensor]:
        """The steps of a picture; where candidates were judged, the last step need not be the chosen one."""
        frames = self.frames.setdefault(picture.position, [])
        if not frames or not frames[-1].equal(picture.pixels_CHW):
            frames.append(picture.pixels_CHW)
        return frames

    def _few(self, request: Request) -> bool:
        return len(request.keep or request.pictures) <= MOST_ANIMATED


def watched(
    previews: list[str], quiet: bool, processes: Processes
) -> tuple[tuple[Path, ...], "Screen | None"]:
    """What `--preview` means: folders, and the terminal for `inline` or, forced, `inline:PROTOCOL`.

    The first process alone draws on the terminal. A pipe gets a note and no picture. Raises GenstudioError
    for an unknown protocol.
    """
    ways = [name.partition(":")[2] for name in previews if name.partition(":")[0] == "inline"]
    folders = tuple(Path(name) for name in previews if name.partition(":")[0] != "inline")
    if not ways or not processes.first:
        return folders, None
    from genstudio.media.screen import open_screen

    screen = open_screen(ways[-1])
    if screen is None:
        note("No pictures inline: stderr is no terminal that shows them.", quiet)
    return folders, screen


def _name(wanted: Wanted) -> str:
    match wanted.subject:
        case int(label):
            subject = f"{label:03d}"
        case str(prompt):
            subject = slug(prompt)
        case None:
            subject = NO_CLASS
    return f"{subject}-{wanted.seed:06d}"


def _columns(pictures: Iterable[Wanted]) -> int:
    """One class or prompt per row where all have the same number of pictures, else about a square."""
    subjects = [wanted.subject for wanted in pictures]
    each, rest = divmod(len(subjects), len(set(subjects)))
    if rest == 0 and 1 < each <= 16:
        return each
    return math.ceil(math.sqrt(len(subjects)))
