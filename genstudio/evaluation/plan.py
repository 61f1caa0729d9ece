"""What is scored and how, as a value: the release's published protocol unless something else was asked for.

Users' first complaint about this family of models is that numbers cannot be reproduced; so everything that a
number depends on stands in the plan, and `deviations` says where it differs from the protocol. No torch.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from genstudio.errors import GenstudioError
from genstudio.files import Source
from genstudio.releases.release import Labels, Metric, Protocol, Release, Suite
from genstudio.samplers.accelerators import parse, promise
from genstudio.samplers.recipe import Recipe
from genstudio.selection import Selection
from genstudio.text.prompts import Prompts, choose_prompts

METRICS: dict[Metric, str] = {
    "fid": "Frechet distance",
    "sfid": "Frechet distance of spatial features (Inception)",
    "kid": "kernel distance",
    "is": "inception score (Inception)",
    "pr": "precision and recall",
    "dc": "density and coverage",
    "share": "share of pictures that show the class asked for",
}
LABELS: tuple[Labels, ...] = get_args(Labels)
INCEPTION = "inception-v3-compat"
KEEPING: tuple[Metric, ...] = ("kid", "pr", "dc")  # these compare pictures with pictures, not their moments
BATCH = 100
# No protocol's, or told in other words.
UNPUBLISHED = (
    "source",
    "batch",
    "seed",
    "recipe",
    "selection",
    "prompts",
    "features",
    "negative",
    "accelerators",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A scoring run.

    `source` is a model's name or folder, a folder of pictures or an .npz of samples; `recipe` is None for
    pictures that exist already. `metrics` None means whatever extractor and reference allow. `reference` None
    means that nothing is compared: statistics alone are wanted. `side` is what a model's pictures are resized
    to before they become levels; None leaves them as they are made. Pictures from text show `prompts`, or all
    those of `features`, in turn, and are steered away from `negative`. `accelerators` are described, settled.
    """

    source: str
    samples: int | None
    extractor: str
    reference: str | None
    seed: int = 0
    labels: Labels = "balanced"
    recipe: Recipe | None = None
    selection: Selection | None = None
    batch: int = BATCH
    suite: Suite = "torch-fidelity"
    metrics: tuple[Metric, ...] | None = None
    side: int | None = None
    prompts: Source | None = None
    features: Source | None = None
    negative: str | None = None
    accelerators: tuple[str, ...] = ()

    def texts(self, release: Release) -> Prompts | None:
        """What the pictures of a release show; None where it is made from classes.

        Raises GenstudioError where files changed since they were asked for, and as `choose_prompts` does.
        """
        file, features = _found("prompts", self.prompts), _found("features", self.features)
        return choose_prompts(release, file=file, features=features, negative=self.negative)

    def text_facts(self) -> dict[str, str]:
        """What its pictures show, by content: files may move while a run is resumed."""
        files = {name: file.sha256 for name in ("prompts", "features") if (file := getattr(self, name))}
        return files | ({"negative": self.negative} if self.negative is not None else {})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def plan_for(release: Release, name: str, **asked: Any) -> Plan:
    """The protocol of a release as a plan, with what was `asked` (None: nothing) in place of its fields.

    Raises GenstudioError where the release has no protocol and neither extractor nor reference was asked for.
    """
    given = {key: value for key, value in asked.items() if value is not None}
    protocol = release.protocol
    if protocol is None:
        if not {"extractor", "reference"} <= given.keys():
            raise GenstudioError(
                f"{release.name} has no published protocol.", "Give --extractor and --reference (and -n)."
            )
        return Plan(**{"source": name, "recipe": release.recipe, "samples": 10_000, **given})
    return replace(_published(protocol, release, name), **given)


def parse_metrics(text: str) -> tuple[Metric, ...]:
    """A comma list of metric names. Raises GenstudioError for an unknown one."""
    names = tuple(part.strip() for part in text.split(","))
    known = tuple(metric for name in names for metric in METRICS if metric == name)
    if len(known) != len(names):
        wrong = next(name for name in names if name not in METRICS)
        raise GenstudioError(f"There is no metric {wrong!r}.", f"Known are: {', '.join(METRICS)}.")
    return known


def deviations(plan: Plan, release: Release) -> list[str]:
    """Every way in which a plan differs from the release's protocol and published recipe, in words."""
    said = []
    if plan.selection is not None:
        said.append(f"selection: {plan.selection.describe()}")
    if plan.negative is not None:
        said.append(f"away from {plan.negative!r}")
    if plan.accelerators and plan.recipe is not None:
        label = promise(tuple(map(parse, plan.accelerators)), plan.recipe).words
        said.append(f"accelerated: {'+'.join(plan.accelerators)} ({label})")
    if plan.recipe is not None and plan.recipe != release.recipe:
        said.append(f"recipe: {plan.recipe.describe()}, not {release.recipe.describe()}")
    if release.protocol is None:
        return [*said, f"{release.name} has no published protocol"]
    published = _published(release.protocol, release, plan.source)
    names = [field.name for field in fields(Plan) if field.name not in UNPUBLISHED]
    differing = [name for name in names if getattr(plan, name) != getattr(published, name)]
    return said + [f"{name}: {_said(plan, name)}, not {_said(published, name)}" for name in differing]


def _published(protocol: Protocol, release: Release, name: str) -> Plan:
    return Plan(
        source=name,
        samples=protocol.samples,
        extractor=protocol.extractor,
        reference=protocol.reference,
        labels=protocol.labels,
        recipe=release.recipe,
        suite=protocol.suite,
        metrics=protocol.metrics,
        side=protocol.side,
    )


def _said(plan: Plan, name: str) -> str:
    value = getattr(plan, name)
    if isinstance(value, tuple):
        return " ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _found(flag: str, source: Source | None) -> Path | None:
    return None if source is None else source.found(f"Say where it is: --{flag} FILE.")
