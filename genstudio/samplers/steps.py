"""How a head denoises, as a value: step rules say in how many steps (DiSA, arXiv 2505.20297), chain rules by
which sampler.

Late units have narrow conditionals and need fewer steps, so a rule lowers the count from `upper` to `lower`.
One rounding serves all methods: MAR's, which equals FlowAR's and xAR's for up to seven units. Officially a
picture of one unit divides by zero; here it gets the upper count. No torch.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Final, Literal, cast, get_args

from genstudio.errors import GenstudioError

Shape = Literal["linear", "cosine", "two-stage", "constant"]
TIMESTEPS: Final = 1000  # of the diffusion that heads are trained on
FEW_STEPS_CLIP: Final = 950  # the noisiest timestep of DiSA's chains: with few steps those above do harm


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same count for every unit; equals annealing with upper = lower."""

    steps: int
    kind: Literal["fixed"] = "fixed"

    @property
    def most(self) -> int:
        """The largest count of any unit."""
        return self.steps

    def __str__(self) -> str:
        return str(self.steps)

    def count(self, unit: int, units: int) -> int:
        del unit, units
        return self.steps


@dataclass(frozen=True, slots=True)
class Annealed:
    """From `upper` at the first unit to `lower` at the last one; "constant" is the lower count throughout."""

    upper: int
    lower: int
    rule: Shape = "linear"
    kind: Literal["annealed"] = "annealed"

    @property
    def most(self) -> int:
        """The largest count of any unit."""
        return self.upper

    def __str__(self) -> str:
        return f"{self.upper}:{self.lower}" + ("" if self.rule == "linear" else f":{self.rule}")

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


@dataclass(frozen=True, slots=True)
class DDPM:
    """Ancestral sampling over timesteps spread evenly, none above `clip`; every step adds noise (MAR)."""

    clip: int | None = None
    kind: Literal["ddpm"] = "ddpm"

    @property
    def most(self) -> int:
        """The largest count of steps."""
        return TIMESTEPS

    def annealed(self) -> "DDPM":
        """As DiSA samples."""
        return replace(self, clip=FEW_STEPS_CLIP)


@dataclass(frozen=True, slots=True)
class DDIM:
    """The probability flow over timesteps at a constant stride, none above `clip`; no noise but the first."""

    clip: int | None = None
    kind: Literal["ddim"] = "ddim"

    @property
    def most(self) -> int:
        """The largest count of steps."""
        return TIMESTEPS

    def annealed(self) -> "DDIM":
        """DiSA leaves its clip, which is another one."""
        return self


ChainRule = DDPM | DDIM


def check_walk_steps(steps: int, codes: int) -> None:
    """Raises GenstudioError for more steps of a walk than codes that they could make."""
    if not 1 <= steps <= codes:
        raise GenstudioError(
            f"{steps} steps cannot make {codes} tokens, of which every step makes one or more.",
            f"Give --steps from 1 to {codes}.",
        )


def parse_steps(text: str) -> StepRule:
    """`25`, `50:5` or `50:5:cosine`. Raises GenstudioError for anything else."""
    match = re.fullmatch(rf"\s*(\d+)(?::(\d+)(?::({'|'.join(get_args(Shape))}))?)?\s*", text)
    if match is None:
        shapes = ", ".join(get_args(Shape))
        hint = f"Write 25, or 50:5 for fewer and fewer, or 50:5:SHAPE with one of {shapes}."
        raise GenstudioError(f"--head-steps {text!r} is no schedule of denoising steps.", hint)
    upper, lower = int(match[1]), int(match[2] or match[1])
    if not 1 <= lower <= upper:
        hint = "Give 1 or more, and the larger count first: 50:5."
        raise GenstudioError(f"--head-steps {text} cannot be: a code takes one step at least.", hint)
    return Annealed(upper, lower, cast(Shape, match[3] or "linear")) if match[2] else Fixed(upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoising:
    """How a diffusion or flow head makes a code: in how many steps, by which chain. `temperature` multiplies
    the noise of every step, but not the noise that a code starts from."""

    steps: StepRule
    chain: ChainRule = DDPM()
    temperature: float = 1.0

    def taking(self, steps: str | None, temperature: float | None) -> "Denoising":
        """The same by another schedule (as `parse_steps` reads it) or temperature. One that anneals takes
        DiSA's chain with it. Raises GenstudioError for more steps than the chain has."""
        head = self if temperature is None else replace(self, temperature=temperature)
        if steps is None:
            return head
        rule = parse_steps(steps)
        if rule.most > self.chain.most:
            message = f"--head-steps {steps} asks for more steps than there are."
            raise GenstudioError(message, f"Give at most {self.chain.most}.")
        chain = self.chain.annealed() if isinstance(rule, Annealed) else self.chain
        return replace(head, steps=rule, chain=chain)

    def describe(self) -> str:
        """For people: "50:5 steps a code (ddpm), temperature 1"."""
        return f"{self.steps} steps a code ({self.chain.kind}), temperature {self.temperature:g}"
