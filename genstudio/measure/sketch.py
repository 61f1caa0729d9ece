"""A studio without numbers: the real walk on the meta device, where tensors have shapes and no memory.

Whatever counts work or memory watches this run, so that it follows the code that samples, and no formula has
to be kept in step with a method. Shapes: B pictures, C channels, H x W pixels.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from torch import Tensor

from genstudio import registry
from genstudio.events import Event
from genstudio.generators.base import Generator
from genstudio.media.pixels import to_uint8
from genstudio.releases import catalogue
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Release
from genstudio.request import Request
from genstudio.runtime import Dtype, Runtime
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Codes
from genstudio.studio import Companion, Studio
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.tokenizers.protocol import Sampling


class Sketch(Studio):
    """What a loaded studio would do, in shapes alone."""

    @classmethod
    def of(cls, release: Release, dtype: Dtype, depth: int | None = None) -> "Sketch":
        """The networks of a release, which need not be on this machine; with `depth` blocks if it is given.

        Raises GenstudioError for a release that makes no pictures.
        """
        config = release.generator
        shallow = replace(release, config=replace(config, depth=depth or config.depth))
        runtime = Runtime("meta", dtype)
        generator = registry.build(shallow.config).to("meta", runtime.torch_dtype)
        tokenizer = registry.build(tokenizer_of(release).config).to("meta")
        return cls(shallow, cast(Generator, generator), cast(ConvTokenizer, tokenizer), runtime)

    def run(self, recipe: Recipe, batch: int) -> Iterator[Event]:
        """The events of one batch."""
        pictures = self.any_pictures(batch)
        return self.stream(Request(model=self.release.name, pictures=pictures, recipe=recipe, batch=batch))

    def _companion(self, name: str) -> Companion:
        """As many blocks as the generator has: a teacher has as many as its student."""
        release = catalogue.find(name)
        config = replace(release.generator, depth=self.release.generator.depth)
        network = registry.build(config).to("meta", self.runtime.torch_dtype)
        return Companion(network, release, "")

    def decode(self, codes: Codes, sampling: Sampling, side: int | None = None) -> Tensor:
        """uint8 pixels [B,C,H,W] that stay on the device: there are no numbers to check or to copy."""
        x_BCHW = self.tokenizer.decode(self.tokenizer.latents(codes), sampling)
        return to_uint8(x_BCHW, self.release.pixels, side)
