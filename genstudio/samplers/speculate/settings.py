"""Accelerators that draft codes and verify them, as settings: what each takes, refuses, promises. No torch.

Jacobi decoding (exact), speculative Jacobi decoding (SJD, arXiv 2410.01699), SpecTr (arXiv 2310.15141), and
LANTERN (arXiv 2410.03355; ++, arXiv 2502.06352). `plans` builds what they do. Official residuals are named
options: the labels of the usual ones are proven.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.data.labels import names_of
from genstudio.releases import catalogue
from genstudio.releases.release import Release
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.recipe import Allow, Filter, Recipe, Temperature, TopK, TopP

if TYPE_CHECKING:
    from genstudio.samplers.accelerators import Site
    from genstudio.samplers.plan import Plan

Init = Literal["random", "repeat_horizon", "sample_horizon"]
Tree = Literal["dynamic", "static"]
Residual = Literal["proven", "official"]
Window = Annotated[int, Field(ge=2, le=256)]

USUAL_DELTA: Final = 0.1
TREES: Final[dict[Tree, int]] = {"dynamic": 59, "static": 58}  # nodes, the last known code included


class Drafting:
    """What all of them share: their place in a plan, and the generators that they take."""

    site: ClassVar["Site"] = "walk"
    beside: ClassVar[frozenset[str]] = frozenset()

    @property
    def companions(self) -> tuple[str, ...]:
        return ()

    @property
    def copies(self) -> int:
        return 1

    def settled(self, release: Release) -> "Drafting":
        del release
        return self

    def refusal(self, release: Release, others: tuple[str, ...]) -> str | None:
        """Only generators whose codes follow one after the other can be drafted for."""
        del others
        if not isinstance(release.config, LlamaGenConfig):
            return f"a {release.method} does not make one code after the other"
        return self.unfit(release, release.config)

    def unfit(self, release: Release, target: LlamaGenConfig) -> str | None:
        """Why what it drafts with does not fit; None where it does."""
        del release, target
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jacobi(Drafting):
    """Windows of `window` codes; the plain sampler's own draws decide. `init` are fresh drafts: any code, the
    code on their left, or the most likely one there."""

    name: ClassVar[str] = "jacobi"
    summary: ClassVar[str] = "the model drafts for itself; the same codes as without it"
    window: Window = 16
    init: Init = "repeat_horizon"

    @property
    def slack(self) -> int:
        return self.window

    def label(self, recipe: Recipe) -> Exactness:
        """Every code is the winner of its own race, whoever drafted it."""
        del recipe
        return Exactness.EXACT

    def apply(self, plan: "Plan") -> "Plan":
        from genstudio.samplers.speculate import plans

        return plans.jacobi(plan, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SJD(Drafting):
    """The paper's criterion for the same windows. Its official residual is filtered a second time."""

    name: ClassVar[str] = "sjd"
    summary: ClassVar[str] = "the model drafts for itself; speculative sampling judges"
    window: Window = 16
    init: Init = "repeat_horizon"
    residual: Residual = "proven"

    @property
    def slack(self) -> int:
        return self.window

    def label(self, recipe: Recipe) -> Exactness:
        """A residual holds no more codes than the law that it is left of: only top-p takes some away."""
        harmless = all(isinstance(one, TopK | Allow) for one in self.refilter(recipe))
        return Exactness.SAME_DISTRIBUTION if harmless else Exactness.LOSSY

    def refilter(self, recipe: Recipe) -> tuple[Filter, ...]:
        """What the residual passes once more; officially windows know no temperature."""
        if self.residual == "proven":
            return ()
        kept = (one for one in recipe.filters if not isinstance(one, Temperature))
        return tuple(one for one in kept if one != TopP(1))

    def apply(self, plan: "Plan") -> "Plan":
        from genstudio.samplers.speculate import plans

        return plans.sjd(plan, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecTr(Drafting):
    """`k` chains of `length` codes by a smaller release of the same codes; None is the model's own draft."""

    name: ClassVar[str] = "spectr"
    summary: ClassVar[str] = "a smaller model drafts k chains (draft=NAME, or the model's own draft)"
    draft: str | None = None
    k: Annotated[int, Field(ge=1, le=16)] = 4
    length: Annotated[int, Field(ge=1, le=16)] = 4

    @property
    def companions(self) -> tuple[str, ...]:
        return (self.draft,) if self.draft else ()

    @property
    def copies(self) -> int:
        """One for what is known, one for every chain."""
        return 1 + self.k

    @property
    def slack(self) -> int:
        return 1 + self.k * self.length

    def settled(self, release: Release) -> "SpecTr":
        return replace(self, draft=lasting(self.draft or release.companions.draft))

    def label(self, recipe: Recipe) -> Exactness:
        """Optimal transport between the laws, however far apart these are."""
        del recipe
        return Exactness.SAME_DISTRIBUTION

    def unfit(self, release: Release, target: LlamaGenConfig) -> str | None:
        draft = self.draft or release.companions.draft
        if draft is None:
            return "it names no draft: give draft=NAME, a smaller model of the same codes"
        if self.draft is None and not _here(draft):
            return f"its draft {draft} is not here"
        found = catalogue.find(draft)
        if not isinstance(found.config, LlamaGenConfig):
            return f"its draft {found.name} is a {found.method}, not a {release.method}"
        who = f"its draft {found.name}"
        return differing(who, _codes(target), _codes(found.config)) or other_parts(who, release, found)

    def apply(self, plan: "Plan") -> "Plan":
        from genstudio.samplers.speculate import plans

        return plans.spectr(plan, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lantern(Drafting):
    """A drafter's tree, whose drafts may borrow the mass of their `k` nearest codes: up to `delta` in all, or
    until a draft has `lambda_` times its own. None is the release's own drafter."""

    name: ClassVar[str] = "lantern"
    summary: ClassVar[str] = (
        "a drafter grows a tree, near codes count as well (drafter=NAME, or the model's own)"
    )
    drafter: str | None = None
    tree: Tree = "dynamic"
    k: Annotated[int, Field(ge=0, le=65_535)] = 1000
    delta: Annotated[float, Field(ge=0, le=1)] | None = None
    lambda_: Annotated[float, Field(gt=1)] | None = None
    residual: Residual = "proven"

    def __post_init__(self) -> None:
        if self.delta is None and self.lambda_ is None:
            object.__setattr__(self, "delta", USUAL_DELTA)

    @property
    def companions(self) -> tuple[str, ...]:
        return (self.drafter,) if self.drafter else ()

    @property
    def slack(self) -> int:
        return TREES[self.tree]

    @property
    def bound(self) -> float:
        """As `Relaxation` reads it."""
        return self.lambda_ or self.delta or 0.0

    def settled(self, release: Release) -> "Lantern":
        return replace(self, drafter=lasting(self.drafter or release.companions.drafter))

    def label(self, recipe: Recipe) -> Exactness:
        """Without neighbours it is EAGLE-2."""
        del recipe
        return Exactness.SAME_DISTRIBUTION if self.k == 0 or self.bound == 0 else Exactness.LOSSY

    def unfit(self, release: Release, target: LlamaGenConfig) -> str | None:
        if self.delta is not None and self.lambda_ is not None:
            return "delta and lambda are two bounds, of which it takes one"
        drafter = self.drafter or release.companions.drafter
        if drafter is None:
            return "it names no drafter: give drafter=NAME, which was trained on its features"
        if self.drafter is None and not _here(drafter):
            return f"its drafter {drafter} is not here"
        found = catalogue.find(drafter)
        config: object = found.config
        if not isinstance(config, DrafterConfig):
            return f"{found.name} is a {found.method}, not a drafter"
        return differing(f"its drafter {found.name}", _features(target), _features(config))

    def apply(self, plan: "Plan") -> "Plan":
        from genstudio.samplers.speculate import plans

        return plans.lantern(plan, self)


def _here(name: str) -> bool:
    """Whether a companion that a release names is known at all: folders may move."""
    return name in catalogue.names() or Path(name).is_dir()


def lasting(name: str | None) -> str | None:
    """A folder by its whole path, so that a picture's metadata finds it from anywhere."""
    return name if name is None or name in catalogue.names() else catalogue.find(name).folder


def _codes(config: LlamaGenConfig) -> dict[str, object]:
    """What two generators of the same codes have in common."""
    return {
        "codes in its vocabulary": config.vocab,
        "codes in a row": config.side,
        "classes": config.classes,
        "tokens of text": config.caption and config.caption.slots,
        "numbers for a token of text": config.caption and config.caption.width,
    }


def _features(config: LlamaGenConfig | DrafterConfig) -> dict[str, object]:
    """What a drafter shares with the network whose features it continues."""
    return {
        "codes in its vocabulary": config.vocab,
        "numbers in a feature": config.width,
        "codes in a row": config.side,
        "slots of a condition": config.condition_slots,
    }


def differing(who: str, own: Mapping[str, object], its: Mapping[str, object]) -> str | None:
    """The first number in which they differ."""
    for name, number in own.items():
        if its[name] != number:
            return f"{who} has {its[name] or 'no'} {name}, the model {number or 'no'}"
    return None


def other_parts(who: str, release: Release, draft: Release) -> str | None:
    """Whether codes or conditions mean something else to the draft."""
    config = draft.generator
    if names_of(draft.classes, config.classes) != names_of(release.classes, config.classes):
        return f"{who} knows other classes"
    if (draft.text and draft.text.encoder) != (release.text and release.text.encoder):
        return f"{who} reads text by another encoder"
    if _tokenizer(draft) != _tokenizer(release):
        return f"{who} has another tokenizer, {draft.tokenizer}"
    return None


def _tokenizer(release: Release) -> Release | None:
    """Wherever it lies."""
    return replace(catalogue.find(release.tokenizer), folder=None) if release.tokenizer else None
