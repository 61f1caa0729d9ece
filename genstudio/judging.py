"""Candidates of a batch, judged by a classifier: the events of a batch whose pictures are the winners.

Candidates are plain pictures of plain batches; the pictures of a batch that are not chosen yet get their next
candidates together. Shapes: B pictures, C channels, H x W pixels, K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.events import Advance, Event, Picture
from genstudio.request import Request
from genstudio.selection import Choice, Selection, candidate

if TYPE_CHECKING:
    from genstudio.evaluation.extractor import Extractor

Sample = Callable[[Request, range], Iterator[Event]]


@dataclass(frozen=True, slots=True)
class Judge:
    """An extractor that is asked one question: how likely a picture shows the class that was wanted."""

    extractor: "Extractor"

    def probabilities(self, pictures: list[Picture]) -> list[float]:
        """Of each picture, by the classifier's logits in float64."""
        logits_BK = self.extractor(torch.stack([one.pixels_CHW for one in pictures])).logits_BK
        if logits_BK is None:
            name = self.extractor.name
            raise GenstudioError(f"{name} names no classes.", "Choose another --judge.", Exit.WEIGHTS)
        p_BK = logits_BK.double().softmax(1)
        return [float(p_K[one.wanted.label]) for p_K, one in zip(p_BK, pictures, strict=True)]


def winners(sample: Sample, request: Request, positions: range, judge: Judge) -> Iterator[Event]:
    """Make candidates of the pictures at `positions` until each is chosen, then yield the chosen ones.

    `sample` makes a plain batch; its steps are counted on over all candidates.
    """
    assert request.selection is not None
    contest = Contest(request, request.selection, positions)
    while contest.seeking:
        made: list[Picture] = []
        for event in sample(contest.candidates(), range(len(contest.seeking))):
            if isinstance(event, Advance):
                yield contest.advance(event)
            else:
                made.append(event)
        contest.enter(made, judge)
    yield from (contest.best[position] for position in positions if request.kept(position))


class Contest:
    """The pictures of one batch: the likeliest candidate of each so far, and who still seeks one."""

    def __init__(self, request: Request, selection: Selection, positions: range) -> None:
        self.request, self.selection, self.positions = request, selection, positions
        self.best: dict[int, Picture] = {}
        self.odds: dict[int, float] = {}
        self.seeking = list(positions)
        self.attempt = self.steps = 0

    def candidates(self) -> Request:
        """A plain request of one batch: the next candidates of all that seek."""
        pictures = (candidate(self.request.pictures[position], self.attempt) for position in self.seeking)
        plain = replace(self.request, pictures=tuple(pictures), keep=None, selection=None)
        return replace(plain, batch=len(self.seeking))

    def enter(self, made: list[Picture], judge: Judge) -> None:
        """Judge the candidates that were made; of equally likely ones the earlier wins."""
        for position, picture, odds in zip(self.seeking, made, judge.probabilities(made), strict=True):
            if odds > self.odds.get(position, -1.0):
                choice = Choice(self.selection, judge.extractor.digest, self.attempt, odds)
                self.best[position] = picture._replace(position=position, choice=choice)
                self.odds[position] = odds
        self.attempt += 1
        self.seeking = [position for position in self.seeking if not self._chosen(position)]

    def advance(self, event: Advance) -> Advance:
        """A step of the candidates as a step of the whole batch: previews show the likeliest elsewhere."""
        rows, best, total = list(self.seeking), dict(self.best), event.total * self.selection.best_of

        def preview() -> Tensor:
            now = {position: picture.pixels_CHW for position, picture in best.items()}
            now |= dict(zip(rows, event.preview(), strict=True))
            return torch.stack([now[position] for position in self.positions])

        self.steps += 1
        done = event.total * self.attempt + event.done
        return event._replace(
            batch=self.positions, step=self.steps - 1, done=done, total=total, preview=preview
        )

    def _chosen(self, position: int) -> bool:
        accept, last = self.selection.accept, self.attempt == self.selection.best_of
        return last or (accept is not None and self.odds[position] >= accept)
