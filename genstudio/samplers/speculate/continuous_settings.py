"""Continuous speculative decoding (CSpD, arXiv 2411.11925) as settings: what it takes, refuses, promises.

Its two modes and why neither is more than lossy: `continuous`. No torch.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from genstudio.configs.mar import MARConfig
from genstudio.releases import catalogue
from genstudio.releases.release import Release
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.speculate.settings import Drafting, differing, lasting, other_parts
from genstudio.samplers.steps import DDPM, Denoising, Fixed

if TYPE_CHECKING:
    from genstudio.samplers.plan import Plan

ITSELF: Final = "self"
TAUS: Final = {"official": 42.0, "corrected": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class CSpD(Drafting):
    """Windows of `window` steps of the walk, drafted by a smaller release of the same latents (None: the
    model's own draft; `self`: the model in fewer `head_steps`), behind the first `prefill` of all steps.

    Densities are compared with deviations `tau` times as wide (None: the mode's own). `head_steps` are the
    draft's, None for as many as the model takes.
    """

    name: ClassVar[str] = "cspd"
    summary: ClassVar[str] = (
        "a smaller model, or draft=self in fewer head_steps, drafts continuous tokens; near ones are kept"
    )
    draft: str | None = None
    mode: Literal["official", "corrected"] = "corrected"
    tau: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    window: Annotated[int, Field(ge=1, le=256)] = 4
    prefill: Annotated[float, Field(ge=0, le=1)] = 0.05
    head_steps: Annotated[int, Field(ge=1, le=1000)] | None = None

    @property
    def companions(self) -> tuple[str, ...]:
        return (self.draft,) if self.draft not in (None, ITSELF) else ()

    @property
    def slack(self) -> int:
        """None: nothing is remembered from step to step."""
        return 0

    @property
    def scale(self) -> float:
        """How many times as wide deviations count."""
        return self.tau or TAUS[self.mode]

    def settled(self, release: Release) -> "CSpD":
        draft = self.draft or release.companions.draft
        return replace(self, draft=draft if draft == ITSELF else lasting(draft), tau=self.scale)

    def label(self, recipe: Recipe) -> Exactness:
        """Tokens of a window do not see each other, whatever is kept."""
        del recipe
        return Exactness.LOSSY

    def refusal(self, release: Release, others: tuple[str, ...]) -> str | None:
        """Only random sets of tokens under one chain with noise can be drafted for."""
        del others
        if not isinstance(release.config, MARConfig):
            return f"a {release.method} does not make random sets of continuous tokens"
        head = release.recipe.head
        if head is None:
            return "its recipe does not say how tokens are denoised"
        if not isinstance(head.steps, Fixed):
            return (
                f"its head steps {head.steps} anneal (DiSA), and a window is denoised in one number of steps"
            )
        if not isinstance(head.chain, DDPM):
            return f"its head adds no noise (a {head.chain.kind} chain), so that tokens have no densities"
        return self._misfit(release, release.config, head)

    def apply(self, plan: "Plan") -> "Plan":
        from genstudio.samplers.speculate import plans

        return plans.cspd(plan, self)

    def _misfit(self, release: Release, target: MARConfig, head: Denoising) -> str | None:
        """Why what it drafts with does not fit."""
        steps, most = self.head_steps, head.steps.most
        if steps is not None and steps > most:
            return f"its draft cannot take {steps} head steps where the model takes {most}"
        name = self.draft or release.companions.draft
        if name == ITSELF:
            return None if steps is not None and steps < most else f"draft=self needs head_steps below {most}"
        if name is None:
            return "it names no draft: give draft=NAME, a smaller model of the same latents, or draft=self"
        found = catalogue.find(name)
        if not isinstance(found.config, MARConfig):
            return f"its draft {found.name} is a {found.method}, not a {release.method}"
        who = f"its draft {found.name}"
        return differing(who, _latents(target), _latents(found.config)) or other_parts(who, release, found)


def _latents(config: MARConfig) -> dict[str, object]:
    """What two generators of the same latents have in common."""
    return {
        "channels in a cell": config.code_width,
        "cells on the side of a token": config.patch,
        "tokens in a row": config.side,
        "classes": config.classes,
    }
