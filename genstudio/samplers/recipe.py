"""A recipe says how a release is sampled: guidance, filters, denoising, steps. Flags override single fields.

A value without torch. The published numbers of a release are its default recipe; `override` makes the one
that a run really uses.
"""

from dataclasses import dataclass, replace
from typing import Literal

from genstudio.errors import GenstudioError
from genstudio.samplers.few_steps import FewSteps
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.steps import Denoising


@dataclass(frozen=True, slots=True)
class Temperature:
    """Divide logits by `value`."""

    value: float
    kind: Literal["temperature"] = "temperature"


@dataclass(frozen=True, slots=True)
class TopK:
    """Keep the `k` largest logits; ties at the k-th stay."""

    k: int
    kind: Literal["top_k"] = "top_k"


@dataclass(frozen=True, slots=True)
class TopP:
    """Keep the most likely ids up to a total share `p`; the id that crosses p stays."""

    p: float
    kind: Literal["top_p"] = "top_p"


@dataclass(frozen=True, slots=True)
class Allow:
    """Keep the ids in [first, stop) alone (visual ids of a joint vocabulary)."""

    first: int
    stop: int
    kind: Literal["allow"] = "allow"


Filter = Temperature | TopK | TopP | Allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that turns the network's output into codes. Filters run in the order given.

    `steps` is the number of steps of the walk, None where the order alone says how many there are; `head` is
    how continuous codes are denoised, None for models of ids. Where a student takes a `few` steps, guidance
    and filters are those of its teacher's part.
    """

    guidance: Guidance | None = None
    filters: tuple[Filter, ...] = ()
    smooth: bool = False
    steps: int | None = None
    head: Denoising | None = None
    few: FewSteps | None = None

    def override(
        self,
        *,
        cfg: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        smooth: bool | None = None,
        steps: int | None = None,
        head_steps: str | None = None,
    ) -> "Recipe":
        """The same recipe with single fields replaced; 0 for `top_k` or `top_p` switches a filter off, and
        `head_steps` is a schedule as `steps.parse_steps` reads it.

        Raises GenstudioError for values outside of their range, and for fields that mean nothing here: a
        `cfg` where no guidance exists, `steps` where the order alone says how many there are, and what shapes
        a law where a student makes pictures without its teacher.
        """
        recipe = self if steps is None else self._stepping(steps)
        law = {"--cfg": cfg, "--top-k": top_k, "--top-p": top_p, "--temperature": temperature}
        recipe._refuse_unused({flag: value for flag, value in law.items() if value is not None})
        recipe = recipe if smooth is None else replace(recipe, smooth=smooth)
        if cfg is not None:
            recipe = replace(recipe, guidance=self._guided(cfg))
        if self.head is not None or head_steps is not None:
            unused = {"--top-k": top_k, "--top-p": top_p, "--smooth": smooth}
            return replace(recipe, head=self._denoising(head_steps, temperature, unused))
        filters = list(recipe.filters)
        if temperature is not None:
            _check(temperature > 0, "--temperature", temperature, "a number above 0")
            filters = _put(filters, Temperature(temperature), first=True)
        if top_k is not None:
            _check(top_k >= 0, "--top-k", top_k, "0 (off) or a positive count")
            filters = _put(filters, TopK(top_k)) if top_k else _without(filters, TopK)
        if top_p is not None:
            _check(0 <= top_p <= 1, "--top-p", top_p, "a share from 0 (off) to 1")
            filters = _put(filters, TopP(top_p)) if top_p else _without(filters, TopP)
        return replace(recipe, filters=tuple(filters))

    def describe(self) -> str:
        """One line for people: cfg 1.5 plus, top_k 900, top_p 0.96."""
        guided = [f"cfg {self.guidance.cfg:g} ({self.guidance.ramp.kind})"] if self.guidance else []
        kept = [_describe(one) for one in self.filters]
        if self.few is not None:
            return ", ".join([self.few.describe(), *(guided + kept if self.few.start is not None else [])])
        steps = [f"{self.steps} steps"] if self.steps is not None else []
        if self.head is not None:
            return ", ".join([*guided, *steps, self.head.describe()])
        kept += ["smooth"] if self.smooth else []
        return ", ".join([*guided, *steps, *kept]) or "no guidance, no filter"

    def _stepping(self, steps: int) -> "Recipe":
        if self.few is not None:
            return replace(self, few=self.few.taking(steps))
        if self.steps is None:
            raise GenstudioError("This model has no free number of steps.", "Leave --steps away.")
        _check(steps >= 1, "--steps", steps, "1 or more")
        return replace(self, steps=steps)

    def _refuse_unused(self, given: dict[str, float]) -> None:
        """Guidance and filters act on what a teacher says."""
        if given and self.few is not None and self.few.start is None:
            raise GenstudioError(
                f"A student alone takes no chances, so {next(iter(given))} means nothing.",
                f"Leave it away, or let the teacher take part: --steps 3 to {self.few.turn + 1}.",
            )

    def _denoising(
        self, steps: str | None, temperature: float | None, unused: dict[str, float | None]
    ) -> Denoising:
        if self.head is None:
            raise GenstudioError("This model has no head that denoises.", "Leave --head-steps away.")
        for flag, value in unused.items():
            if value is not None:
                message = f"This model draws numbers and no ids, so {flag} means nothing."
                raise GenstudioError(message, f"Leave {flag} away; --temperature works.")
        if temperature is not None:
            _check(temperature > 0, "--temperature", temperature, "a number above 0")
        return self.head.taking(steps, temperature)

    def _guided(self, cfg: float) -> Guidance:
        if self.guidance is None:
            raise GenstudioError("This model has no guidance, so --cfg means nothing.", "Leave --cfg away.")
        return replace(self.guidance, cfg=cfg)


def _describe(one: Filter) -> str:
    match one:
        case Temperature(value):
            return f"temperature {value:g}"
        case TopK(k):
            return f"top_k {k}"
        case TopP(p):
            return f"top_p {p:g}"
        case Allow(first, stop):
            return f"ids {first} to {stop - 1}"


def _check(fine: bool, flag: str, value: float, range_: str) -> None:
    if not fine:
        raise GenstudioError(f"{flag} {value} is out of range.", f"Give {range_}.")


def _without(filters: list[Filter], kind: type) -> list[Filter]:
    return [one for one in filters if not isinstance(one, kind)]


def _put(filters: list[Filter], new: Filter, first: bool = False) -> list[Filter]:
    """Replace the filter of that kind where it stands, or add it (order matters: see the module)."""
    if any(type(one) is type(new) for one in filters):
        return [new if type(one) is type(new) else one for one in filters]
    return [new, *filters] if first else [*filters, new]
