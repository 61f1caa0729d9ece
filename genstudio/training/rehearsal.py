"""What a dry run skips, and what that would take: work before the first step that is kept on the disk."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from torch import Tensor


@dataclass(slots=True)
class Rehearsal:
    """Adds up seconds and bytes of what is stood in for."""

    seconds: float = 0.0
    disk: int = 0

    def stand_in(self, make: Callable[[int], dict[str, Tensor]], tried: int, count: int) -> dict[str, Tensor]:
        """Tensors of `count` examples of which `tried` are really made and repeated. The seconds grow with
        the number of examples; so few may take longer each than many."""
        tried = min(tried, count)
        started = perf_counter()
        made = make(tried)
        self.seconds += (perf_counter() - started) * count / tried
        repeated = {
            name: value.repeat(-(-count // tried), *[1] * (value.ndim - 1))[:count]
            for name, value in made.items()
        }
        self.disk += sum(value.nbytes for value in repeated.values())
        return repeated
