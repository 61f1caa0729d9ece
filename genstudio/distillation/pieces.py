"""Work in pieces that fit into memory: one that does not is made again in halves.

Row i of the result depends on its number alone, so that pieces of any size make the same rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genstudio.errors import Exit, GenstudioError, is_out_of_memory
from genstudio.runtime import let_go

Make = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class Pieces:
    """`size` rows at a time; it shrinks for good where memory ends, and `say` hears of it."""

    size: int
    say: Callable[[str], None] = lambda _: None

    def __call__(self, make: Make, number_N: Tensor) -> Tensor:
        """The rows of these numbers. Raises GenstudioError (exit code 4) where not even one fits."""
        made: list[Tensor] = []
        while len(number_N) > 0:
            piece = self._fits(make, number_N[: self.size])
            if piece is None:
                self._shrink(min(self.size, len(number_N)))
            else:
                made.append(piece)
                number_N = number_N[len(piece) :]
        return torch.cat(made)

    def _fits(self, make: Make, number_n: Tensor) -> Tensor | None:
        try:
            return make(number_n)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Behind the handler, where the error no longer holds the tensors of its frames.
        let_go()
        return None

    def _shrink(self, tried: int) -> None:
        if tried == 1:
            hint = "Choose a smaller teacher, or a device with more memory."
            raise GenstudioError("Not even one picture at a time fits into memory.", hint, Exit.MEMORY)
        self.size = tried // 2
        self.say(f"Out of memory with {tried} pictures at a time: going on with {self.size}.")
