"""The teacher of a distillation: a generator with its tokenizer, frozen; and the codes that it samples.

Shapes: B pictures, L codes of a picture.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from genstudio.cache.makers import full_caches
from genstudio.data.labels import names_of
from genstudio.files import digest
from genstudio.generators.base import Generator
from genstudio.generators.methods import walk_of
from genstudio.releases import catalogue, weights
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Distilled, Release
from genstudio.samplers.draws import Draws
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, run
from genstudio.tokenizers.base import QuantisingTokenizer


@dataclass(frozen=True, slots=True)
class Teacher:
    """Networks in eval mode on one device; `name` is what the user calls it, a folder perhaps; `sha256` is of
    the generator's file of weights."""

    name: str
    release: Release
    generator: Generator
    tokenizer: QuantisingTokenizer
    sha256: str

    @classmethod
    def load(cls, name: str, device: torch.device) -> "Teacher":
        """Raises GenstudioError for an unknown name, one that makes no pictures, and missing weights."""
        release = catalogue.find(name)
        fitted = tokenizer_of(release)
        generator = weights.load(release, device).requires_grad_(False)
        tokenizer = weights.load(fitted, device).requires_grad_(False)
        sha256 = digest(weights.resolve(release))
        return cls(name, release, cast(Generator, generator), cast(QuantisingTokenizer, tokenizer), sha256)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes, by label."""
        return names_of(self.release.classes, self.release.generator.classes)

    def sample(self, label_B: Tensor, seed_B: Tensor, recipe: Recipe, draws: Draws) -> Codes:
        """The codes of pictures of these classes, as `genstudio sample` makes them."""
        return self.made(Given(label_B), seed_B, recipe, draws)

    def made(self, given: Given, seed_B: Tensor, recipe: Recipe, draws: Draws) -> Codes:
        """The codes of pictures under any conditions."""
        walk = walk_of(self.generator, self.tokenizer)
        *_, done = run(walk, Job(given, seed_B, recipe, draws, full_caches(self.generator)))
        assert isinstance(done, Done)
        return done.codes

    def named(self, lessons: str) -> Distilled:
        """How a student's release names it."""
        return Distilled(teacher=self.name, sha256=self.sha256, lessons=lessons)
