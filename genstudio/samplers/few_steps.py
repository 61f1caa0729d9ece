"""In how many passes a distilled student makes a picture, as a value without torch."""

from dataclasses import dataclass, replace

from genstudio.errors import GenstudioError


@dataclass(frozen=True, slots=True, kw_only=True)
class FewSteps:
    """How a distilled student makes a picture in few passes (arXiv 2412.17153, section 3.4).

    Timesteps count units of the teacher's order: scales of VAR, codes of LlamaGen. The first of `steps`
    passes makes all codes from noise, a second one those from unit `turn` on anew. In between the teacher may
    make units from `start` to the turn, one a pass; where it starts at 0 the student has no first pass.
    `splits` are pairs (steps, split): from that many steps on, what stands before unit `split` becomes codes,
    and the rest is decoded as it was predicted. The teacher reads the student's codes in one pass, officially
    without a mask; `cached` masks it, as if it had made them itself. Raises ValueError for steps that do not
    add up.
    """

    steps: int
    turn: int
    splits: tuple[tuple[int, int], ...]
    start: int | None = None
    cached: bool = False

    def __post_init__(self) -> None:
        alone = self.start is None and self.steps in (1, 2)
        if not alone and (self.start is None or self.steps != self.turn - self.start + 1 + bool(self.start)):
            raise ValueError(f"{self.steps} steps do not begin at {self.start} and turn at {self.turn}")

    @property
    def split(self) -> int:
        """The unit from which on predictions are no codes."""
        return [split for steps, split in self.splits if steps <= self.steps][-1]

    def taking(self, steps: int) -> "FewSteps":
        """The same in another number of steps; the teacher makes the last units before the turn, as many as
        are left, and in `turn` + 1 steps all. Raises GenstudioError for a number that means nothing."""
        if not 1 <= steps <= self.turn + 1:
            raise GenstudioError(f"--steps {steps} is out of range.", f"Give 1 to {self.turn + 1}.")
        if steps <= 2:
            return replace(self, steps=steps, start=None)
        return self.behind(0 if steps > self.turn else self.turn + 2 - steps)

    def behind(self, start: int) -> "FewSteps":
        """The same with the teacher from unit `start` on."""
        return replace(self, steps=self.turn - start + 1 + bool(start), start=start)

    def describe(self) -> str:
        """For people: 2 steps."""
        taught = "" if self.start is None else f", the teacher from unit {self.start} to {self.turn - 1}"
        return f"{self.steps} step{'s' if self.steps > 1 else ''}{taught}"
