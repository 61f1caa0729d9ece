"""Where memory ends, a batch is made again in halves: every picture once, in order, and the same."""

from collections.abc import Iterator

import pytest
import torch

from genstudio import backoff
from genstudio.errors import Exit, GenstudioError, is_out_of_memory
from genstudio.events import Advance, Event, Picture
from genstudio.request import Request, Wanted
from genstudio.studio import Studio

PICTURES = tuple(Wanted(i % 10, 70 + i) for i in range(11))


class Narrow:
    """A studio whose memory is enough for `room` pictures at a time; it fails behind the last step."""

    def __init__(self, studio: Studio, room: int, error: Exception) -> None:
        self.studio, self.room, self.error = studio, room, error
        self.tried: list[range] = []

    def batch(self, request: Request, positions: range) -> Iterator[Event]:
        self.tried.append(positions)
        for event in self.studio.batch(request, positions):
            if isinstance(event, Picture) and len(positions) > self.room:
                raise self.error
            yield event


def run(narrow: Narrow, request: Request) -> tuple[list[Picture], list[str]]:
    said: list[str] = []
    events = list(backoff.stream(narrow, request, said.append))  # type: ignore[arg-type]
    assert any(isinstance(event, Advance) for event in events)
    return [event for event in events if isinstance(event, Picture)], said


def request_for(studio: Studio, **more: object) -> Request:
    return Request(model="m", pictures=PICTURES, recipe=studio.release.recipe, batch=8, **more)


@pytest.fixture
def studio(tiny_var: str) -> Studio:
    """In float64, where a batch of another size moves no bit of a uint8 picture."""
    studio = Studio.load(tiny_var)
    studio.generator.double()
    studio.tokenizer.double()
    return studio


ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "python"])
def test_batches_are_halved_until_they_fit_and_stay_small(studio: Studio, error: Exception) -> None:
    narrow = Narrow(studio, 3, error)
    made, said = run(narrow, request_for(studio))
    assert [len(positions) for positions in narrow.tried] == [8, 4, 2, 2, 2, 2, 2, 1]
    assert said == [
        "Out of memory with 8 pictures at a time: going on with 4.",
        "Out of memory with 4 pictures at a time: going on with 2.",
    ]
    whole, quiet = run(Narrow(studio, 8, error), request_for(studio))
    assert not quiet
    assert [one.position for one in made] == [one.position for one in whole] == list(range(11))
    assert all(a.pixels_CHW.equal(b.pixels_CHW) for a, b in zip(made, whole, strict=True))
    assert made[0].place.size == 2


def test_rows_that_only_fill_a_batch_are_not_made_on_the_way(studio: Studio) -> None:
    narrow = Narrow(studio, 4, MemoryError())
    made, _ = run(narrow, request_for(studio, keep=(6,)))
    assert [one.position for one in made] == [6]
    assert narrow.tried == [range(8), range(4, 8)]


def test_when_not_even_one_fits(studio: Studio) -> None:
    with pytest.raises(GenstudioError, match="Not even --batch 1 fits") as caught:
        run(Narrow(studio, 0, MemoryError()), request_for(studio))
    assert caught.value.code == Exit.MEMORY


def test_other_errors_are_no_lack_of_memory(studio: Studio) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run(Narrow(studio, 0, RuntimeError("shapes differ")), request_for(studio))


def test_what_torch_says_when_it_asks_for_too_much() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(ValueError("out of memory"))
