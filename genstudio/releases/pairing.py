"""Which tokenizer release turns a generator's codes into pixels, and at which size. No torch.

One file of a tokenizer may serve generators of several sizes (256 and 512 px), so its numbers are fitted to
the generator's own.
"""

from dataclasses import replace

from genstudio.configs.kl import KLConfig
from genstudio.configs.llamagen import LlamaConfig
from genstudio.configs.mar import MARConfig
from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.configs.var import NextScaleConfig
from genstudio.configs.vq import VQConfig
from genstudio.errors import Exit, GenstudioError
from genstudio.releases import catalogue
from genstudio.releases.release import GeneratorConfig, Release, TokenizerConfig


def tokenizer_of(release: Release) -> Release:
    """The tokenizer release of a generator, fitted to it.

    Raises GenstudioError for a release that makes no pictures, and for a tokenizer of another kind.
    """
    config = release.generator
    if release.tokenizer is None:
        message = f"{release.name} names no tokenizer."
        raise GenstudioError(message, "Its release.json is damaged.", Exit.WEIGHTS)
    found = catalogue.find(release.tokenizer)
    fitted = _fitted(config, found.config)
    if fitted is None:
        message = f"{found.name} is no tokenizer for {release.name}."
        raise GenstudioError(message, "Correct its release.json.", Exit.WEIGHTS)
    return replace(found, config=fitted)


def pixels_of(release: Release) -> int:
    """Side length of the pictures that a generator makes, in pixels."""
    tokenizer = tokenizer_of(release).config
    assert isinstance(tokenizer, TokenizerConfig)
    return tokenizer.pixels


def _fitted(generator: GeneratorConfig, tokenizer: object) -> TokenizerConfig | None:
    """The tokenizer's numbers at the generator's size, None where they do not go together."""
    match generator, tokenizer:
        case NextScaleConfig(), MultiScaleVQConfig():
            return replace(tokenizer, sizes=generator.sizes)
        case LlamaConfig(), VQConfig():
            return replace(tokenizer, pixels=generator.side * tokenizer.stride)
        case MARConfig(), KLConfig() if generator.code_width == tokenizer.code_width:
            return replace(tokenizer, pixels=generator.side * generator.patch * tokenizer.stride)
        case _:
            return None
