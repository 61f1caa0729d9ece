"""Sampling that goes on where memory ends: a batch that does not fit is made again in halves.

What a picture is depends on its seed alone; the size of its batch moves at most the last bits of float
arithmetic, and the file of a picture records the size that it was made in.
"""

from collections.abc import Callable, Generator, Iterator

from genstudio.errors import Exit, GenstudioError, is_out_of_memory
from genstudio.events import Event
from genstudio.processes import Processes
from genstudio.request import Request
from genstudio.runtime import let_go
from genstudio.studio import Studio


def stream(
    studio: Studio, request: Request, say: Callable[[str], None], processes: Processes = Processes()
) -> Iterator[Event]:
    """As `Studio.stream`, in smaller batches from the first one on that runs out of memory.

    Of several processes each makes its share of the batches. No picture of a batch that does not fit was told
    yet, but its advances were. `say` hears the new size. Raises GenstudioError (exit code 4) where not even
    one picture fits.
    """
    size = request.batch
    for positions in processes.share(request.batches()):
        left = positions
        while left:
            part = left[:size]
            if any(map(request.kept, part)) and not (yield from _fits(studio, request, part)):
                size = _half(len(part))
                say(f"Out of memory with {len(part)} pictures at a time: going on with {size}.")
            else:
                left = left[size:]


def _half(size: int) -> int:
    if size == 1:
        hint = "Try --dtype bf16, or choose a smaller model."
        raise GenstudioError("Not even --batch 1 fits into memory.", hint, Exit.MEMORY)
    return size // 2


def _fits(studio: Studio, request: Request, positions: range) -> Generator[Event, None, bool]:
    """The events of a batch; the generator's value is whether memory was enough for it."""
    try:
        yield from studio.batch(request, positions)
        return True
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Behind the handler, where the error no longer holds the tensors of its frames.
    let_go()
    return False
