"""How the noise of a code is carried to the code: settings alone, importable without torch."""

from dataclasses import dataclass
from typing import Literal

from genstudio.errors import GenstudioError


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """How the flow of Distilled Decoding (arXiv 2412.17153) is integrated: in `steps` equal ones.

    On this path Euler is first-order DPM-Solver; Heun takes two velocities a step, but for the last. Which
    solver the paper's pairs were made with was never published; 20 steps of Heun reach the code of the exact
    flow wherever we looked. Raises GenstudioError for less than one step.
    """

    method: Literal["euler", "heun"] = "heun"
    steps: int = 20

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise GenstudioError(f"A solver cannot take {self.steps} steps.", "Give one or more.")

    @property
    def velocities(self) -> int:
        """Evaluations of the velocity in all."""
        return 2 * self.steps - 1 if self.method == "heun" else self.steps
