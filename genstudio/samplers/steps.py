"""Step rules: how many denoising steps the k-th unit of a picture gets (DiSA, arXiv 2505.20297).

Late units have narrow conditionals and need fewer steps, so a rule lowers the count from `upper` to `lower`.
One rounding serves all methods: MAR's, which equals FlowAR's and xAR's for up to seven units. Officially a
picture of one unit divides by zero; here it gets the upper count. No torch.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same count for every unit; equals annealing with upper = lower."""

    steps: int
    kind: Literal["fixed"] = "fixed"

    def count(self, unit: int, units: int) -> int:
        del unit, units
        return self.steps


@dataclass(frozen=True, slots=True)
class Annealed:
    """From `upper` at the first unit to `lower` at the last one; "constant" is the lower count throughout."""

    upper: int
    lower: int
    rule: Literal["linear", "cosine", "two-stage", "constant"] = "linear"
    kind: Literal["annealed"] = "annealed"

    def count(self, unit: int, units: int) -> int:
        """Nominal steps of unit 0..units-1; a clip of the timesteps may merge some (see `timesteps`)."""
        return self.lower + int(self._share(unit, units - 1) * (self.upper - self.lower))

    def _share(self, unit: int, last: int) -> float:
        """How much of the range between lower and upper is left."""
        match self.rule:
            case "linear":
                return (last - unit) / last if last else 1.0
            case "cosine":
                return (math.cos(math.pi * unit / last) + 1) / 2 if last else 1.0
            case "two-stage":
                return float(unit < last / 2 or not last)
            case "constant":
                return 0.0


StepRule = Fixed | Annealed
