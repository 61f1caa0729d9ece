"""What a file of official tensors looks like: architecture numbers read off its names and shapes.

Used when a file does not fit what it was said to be, so that the error names the cause ("this looks like
var-d20") and not five hundred tensors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from torch import Tensor

from genstudio.releases.release import Release

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A kind of network and those numbers of its config that the tensors show."""

    kind: str
    facts: dict[str, Any]

    def fits(self, release: Release) -> bool:
        """Whether everything seen agrees with the config of a release."""
        config = release.config
        return config.kind == self.kind and all(
            getattr(config, name) == value for name, value in self.facts.items()
        )

    def __str__(self) -> str:
        return _transformer_text(self.facts) if self.kind == "var" else _tokenizer_text(self.facts)


def identify(tensors: Tensors) -> Sighting | None:
    """The network that official tensors belong to; None for one that we do not know."""
    if {"word_embed.weight", "pos_1LC", "class_emb.weight", "head.weight"} <= tensors.keys():
        return Sighting("var", _transformer_facts(tensors))
    if {"quantize.embedding.weight", "encoder.conv_in.weight"} <= tensors.keys():
        return Sighting("multiscale_vq", _tokenizer_facts(tensors))
    return None


def name_of(sighting: Sighting, releases: Iterable[Release]) -> str | None:
    """The first release that fits a sighting."""
    return next((one.name for one in releases if sighting.fits(one)), None)


def _transformer_facts(tensors: Tensors) -> dict[str, Any]:
    width, code_width = tensors["word_embed.weight"].shape
    scale = tensors.get("blocks.0.attn.scale_mul_1H11")
    facts: dict[str, Any] = {
        "depth": _count(tensors, "blocks."),
        "width": width,
        "code_width": code_width,
        "vocab": tensors["head.weight"].shape[0],
        "classes": tensors["class_emb.weight"].shape[0] - 1,
        "slots": tensors["pos_1LC"].shape[1],
        "shared_adaln": "shared_ada_lin.1.weight" in tensors,
        "l2_attention": scale is not None,
    }
    if scale is not None:
        facts["heads"] = scale.numel()
    if "lvl_1L" in tensors:
        areas = tensors["lvl_1L"].flatten().long().bincount().tolist()
        facts["sizes"] = tuple(isqrt(area) for area in areas)
    return facts


def _tokenizer_facts(tensors: Tensors) -> dict[str, Any]:
    vocab, code_width = tensors["quantize.embedding.weight"].shape
    width, channels = tensors["encoder.conv_in.weight"].shape[:2]
    firsts = (
        f"encoder.down.{level}.block.0.conv1.weight" for level in range(_count(tensors, "encoder.down."))
    )
    return {
        "vocab": vocab,
        "code_width": code_width,
        "channels": channels,
        "width": width,
        "width_mult": tuple(tensors[name].shape[0] // width for name in firsts if name in tensors),
        "res_blocks": _count(tensors, "encoder.down.0.block."),
    }


def _count(tensors: Tensors, prefix: str) -> int:
    """How many numbered parts there are behind a prefix."""
    numbers = (name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def _transformer_text(facts: dict[str, Any]) -> str:
    adaln = "shared adaLN" if facts["shared_adaln"] else "adaLN per block"
    norm = "L2-normalised" if facts["l2_attention"] else "plain"
    return (
        f"a VAR transformer of depth {facts['depth']}, width {facts['width']}, {facts['classes']} classes, "
        f"{facts['slots']} slots, {facts['vocab']} codes, with {adaln} and {norm} attention"
    )


def _tokenizer_text(facts: dict[str, Any]) -> str:
    return (
        f"a multi-scale VQVAE with {facts['vocab']} codes of width {facts['code_width']}, "
        f"{facts['width']} channels and {len(facts['width_mult'])} resolutions"
    )
