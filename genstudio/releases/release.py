"""A release is one value: a network's architecture numbers, where its weights are, how it is sampled.

A release holds ONE network and names the others it needs (tokenizer, companions) by release name, so that a
tokenizer which many generators share is stored once. No torch here: listing models must start fast.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.features import ClassifierConfig
from genstudio.configs.kl import KLConfig
from genstudio.configs.llamagen import Caption, LlamaGenConfig
from genstudio.configs.mar import MARConfig
from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.configs.nar import NARConfig
from genstudio.configs.students import StudentConfig
from genstudio.configs.var import VARConfig
from genstudio.configs.vq import VQConfig
from genstudio.errors import GenstudioError
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import check_walk_steps

Labels = Literal["balanced", "random", "training"]
Suite = Literal["adm", "torch-fidelity"]
Metric = Literal["fid", "sfid", "kid", "is", "pr", "dc", "share"]
Cleaning = Literal["none", "deepfloyd"]
GeneratorConfig = StudentConfig | VARConfig | LlamaGenConfig | NARConfig | MARConfig
TokenizerConfig = MultiScaleVQConfig | VQConfig | KLConfig
HelperConfig = DrafterConfig | ClassifierConfig
Config = Annotated[GeneratorConfig | TokenizerConfig | HelperConfig, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Where official weights come from. `sha256` stays None where nobody published it: the first import
    records what it saw. `size` is in bytes, for people: it may be rounded."""

    hub: str
    name: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How an official file wraps its tensors: keys to unwrap in order (tried as a whole, a bare file is also
    read), and classes that its pickles hold and that are read as inert stubs."""

    unwrap: tuple[tuple[str, ...], ...] = ()
    inert: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelRule:
    """Decoded values become uint8: from `low`..`high`, rounded or truncated, by the method's own rule. Halves
    are rounded to even levels, or upwards."""

    low: float = -1.0
    high: float = 1.0
    rounding: Literal["round", "half-up", "truncate"] = "round"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number that somebody reported, with its source; never one of ours."""

    metric: str
    value: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a published score is made: how many pictures of which labels, whose features, against what.

    `labels` are balanced (label i mod K, so that any beginning of a run is balanced too), drawn at random, or
    as frequent as in the training set, in any beginning of a run as nearly as whole numbers allow;
    `suite` is the program whose rules hold where two differ (splits of the inception score); `side` is
    what pictures are resized to before they become levels, None where they are scored as they are made.
    """

    samples: int
    labels: Labels
    extractor: str
    reference: str
    suite: Suite
    metrics: tuple[Metric, ...]
    side: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """What a generator's text features come from: an encoder by hub name or folder, the hash of its weights
    where it is known, and how prompts are cleaned before. Slots and width are the generator's own numbers."""

    encoder: str
    cleaning: Cleaning = "none"
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """Releases that accelerators of a generator use unless told otherwise, by name or folder: a smaller
    generator of the same codes (`draft`), a network that continues its features (`drafter`)."""

    draft: str | None = None
    drafter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a network of ours cost: the recipe, pictures seen (repeats count), minutes, and on what; and how
    many pictures of each class there were to see."""

    recipe: str
    pictures: int
    minutes: float
    device: str
    counts: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """What a network was distilled from: a teacher by name or folder, and where they are known the hashes of
    its weights and of the lessons (codes, or what else it was taught by)."""

    teacher: str
    sha256: str | None = None
    lessons: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A named checkpoint.

    `classes` names a label set (`genstudio.data.labels`) or lists the names themselves; `tokenizer` names the
    release that turns codes into pixels, None for a tokenizer itself; `text` says what reads prompts for a
    generator that is made from text; `folder` is set where the weights lie beside a release.json, `sha256` is
    the hash of that file of weights.
    """

    name: str
    title: str
    config: Config
    licence: str | None
    source: str
    tokenizer: str | None = None
    text: TextPart | None = None
    companions: Companions = Companions()
    file: File | None = None
    packing: Packing = Packing()
    recipe: Recipe = Recipe()
    pixels: PixelRule = PixelRule()
    protocol: Protocol | None = None
    classes: str | tuple[str, ...] | None = None
    reported: tuple[Score, ...] = ()
    trained: Trained | None = None
    distilled: Distilled | None = None
    folder: str | None = None
    sha256: str | None = None

    @property
    def method(self) -> str:
        """The kind of network, e.g. "var"."""
        return self.config.kind

    @property
    def caption(self) -> Caption | None:
        """The shape of the text features that a generator reads; None where it is made from classes."""
        return getattr(self.config, "caption", None)

    @property
    def generator(self) -> GeneratorConfig:
        """The architecture numbers of a generator. Raises GenstudioError where it is none."""
        if isinstance(self.config, GeneratorConfig):
            return self.config
        if isinstance(self.config, DrafterConfig) and self.distilled is not None:
            teacher = self.distilled.teacher
            raise GenstudioError(
                f"{self.name} makes no pictures: it drafts for {teacher}.",
                f"Run: genstudio sample {teacher} --accel lantern:drafter={self.folder or self.name}.",
            )
        raise GenstudioError(f"{self.name} makes no pictures.", "Choose a generator: genstudio models.")

    def override(self, **fields: Any) -> Recipe:
        """The recipe with single fields replaced, see `Recipe.override`. Raises GenstudioError, too, for more
        steps of the walk than the architecture has codes."""
        recipe, codes = self.recipe.override(**fields), getattr(self.config, "codes", None)
        if recipe.steps is not None and codes is not None:
            check_walk_steps(recipe.steps, codes)
        return recipe


def to_json(release: Release) -> str:
    """A release as the text of a release.json; the folder that it lies in is not part of it."""
    return _adapter().dump_json(replace(release, folder=None), indent=2).decode() + "\n"


def from_json(text: str | bytes, folder: str | None = None) -> Release:
    """The inverse of `to_json`; `folder` says where the weights lie. Raises pydantic.ValidationError."""
    return replace(_adapter().validate_json(text), folder=folder)


@cache
def _adapter() -> TypeAdapter[Release]:
    return TypeAdapter(Release)
