"""What a file of official tensors looks like: architecture numbers read off its names and shapes.

Used when a file does not fit what it was said to be, so that the error names the cause ("this looks like
var-d20") and not five hundred tensors. Some releases share every shape: LlamaGen's of one size for 256 and
384 px, its two tokenizers of 16 pixels a code. Then nothing in a file tells which it is, and all are named.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, Final, NamedTuple

from torch import Tensor

from genstudio.configs.llamagen import Caption
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
        text = next(one.text for one in LOOKS if one.kind == self.kind)
        return text(self.facts)


def identify(tensors: Tensors) -> Sighting | None:
    """The network that official tensors belong to; None for one that we do not know."""
    for one in LOOKS:
        if one.has <= tensors.keys():
            return Sighting(one.kind, one.facts(tensors))
    return None


def names_of(sighting: Sighting, releases: Iterable[Release]) -> tuple[str, ...]:
    """All releases that fit a sighting."""
    return tuple(one.name for one in releases if sighting.fits(one))


class Look(NamedTuple):
    """How a kind of network is known: tensors that every file of it has, its numbers, and these in words."""

    kind: str
    has: frozenset[str]
    facts: Callable[[Tensors], dict[str, Any]]
    text: Callable[[dict[str, Any]], str]


def _var_facts(tensors: Tensors) -> dict[str, Any]:
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


def _var_text(facts: dict[str, Any]) -> str:
    adaln = "shared adaLN" if facts["shared_adaln"] else "adaLN per block"
    norm = "L2-normalised" if facts["l2_attention"] else "plain"
    return (
        f"a VAR transformer of depth {facts['depth']}, width {facts['width']}, {facts['classes']} classes, "
        f"{facts['slots']} slots, {facts['vocab']} codes, with {adaln} and {norm} attention"
    )


def _var_student_facts(tensors: Tensors) -> dict[str, Any]:
    """The class is a level of its own, in front of the scales."""
    facts = _var_facts(tensors)
    return facts | {"slots": facts["slots"] - 1, "sizes": facts["sizes"][1:]}


def _var_student_text(facts: dict[str, Any]) -> str:
    return f"a one-step student of VAR, depth {facts['depth']}, {facts['width']} wide, {facts['slots']} codes"


def _llamagen_student_facts(tensors: Tensors) -> dict[str, Any]:
    return _llamagen_facts(tensors) | {"code_width": tensors["tok_embeddings.weight"].shape[1]}


def _llamagen_student_text(facts: dict[str, Any]) -> str:
    return f"a one-step student of LlamaGen, depth {facts['depth']}, {facts['width']} wide"


def _llamagen_facts(tensors: Tensors) -> dict[str, Any]:
    vocab, width = tensors["output.weight"].shape
    labels = tensors.get("cls_embedding.embedding_table.weight")
    features = tensors.get("cls_embedding.uncond_embedding")
    return {
        "depth": _count(tensors, "layers."),
        "width": width,
        "hidden": tensors["layers.0.feed_forward.w1.weight"].shape[0],
        "vocab": vocab,
        "classes": 0 if labels is None else labels.shape[0] - 1,
        "caption": None if features is None else Caption(slots=features.shape[0], width=features.shape[1]),
    }


def _llamagen_text(facts: dict[str, Any]) -> str:
    return (
        f"a LlamaGen transformer of depth {facts['depth']}, width {facts['width']}, {_made_from(facts)}, "
        f"{facts['vocab']} codes"
    )


def _nar_facts(tensors: Tensors) -> dict[str, Any]:
    """How many of the blocks lie between the heads is nowhere to be seen."""
    facts = _llamagen_facts(tensors)
    return {"layers": facts.pop("depth"), **facts}


def _nar_text(facts: dict[str, Any]) -> str:
    return (
        f"a NAR transformer of {facts['layers']} blocks, width {facts['width']}, {_made_from(facts)}, "
        f"{facts['vocab']} codes"
    )


def _drafter_facts(tensors: Tensors) -> dict[str, Any]:
    """The grid and the slots of the condition are the target's, and nowhere to be seen."""
    vocab, width = tensors["embed_tokens.weight"].shape
    return {
        "depth": _count(tensors, "layers."),
        "width": width,
        "hidden": tensors["layers.0.mlp.gate_proj.weight"].shape[0],
        "vocab": vocab,
        "bias": "fc.bias" in tensors,
    }


def _drafter_text(facts: dict[str, Any]) -> str:
    return (
        f"a drafter of depth {facts['depth']} for features of width {facts['width']} and "
        f"{facts['vocab']} codes"
    )


def _made_from(facts: dict[str, Any]) -> str:
    caption: Caption | None = facts["caption"]
    return f"{caption.slots} slots of text" if caption else f"{facts['classes']} classes"


def _multi_scale_facts(tensors: Tensors) -> dict[str, Any]:
    return _convolutional(tensors, "encoder.down", "block")


def _multi_scale_text(facts: dict[str, Any]) -> str:
    return f"a multi-scale VQVAE with {_convolutional_text(facts)}"


def _vq_facts(tensors: Tensors) -> dict[str, Any]:
    latent_width = tensors["quant_conv.weight"].shape[1]
    return {**_convolutional(tensors, "encoder.conv_blocks", "res"), "latent_width": latent_width}


def _vq_text(facts: dict[str, Any]) -> str:
    return f"a VQ tokenizer with {_convolutional_text(facts)}"


def _kl_facts(tensors: Tensors) -> dict[str, Any]:
    code_width = tensors["post_quant_conv.weight"].shape[0]
    return {"code_width": code_width, **_levels(tensors, "encoder.down", "block")}


def _kl_text(facts: dict[str, Any]) -> str:
    return (
        f"a KL tokenizer with {facts['code_width']} channels a cell, {facts['width']} channels and "
        f"{len(facts['width_mult'])} resolutions"
    )


def _mar_facts(tensors: Tensors) -> dict[str, Any]:
    width, token_width = tensors["z_proj.weight"].shape
    codes, decoder_width = tensors["diffusion_pos_embed_learned"].shape[1:]
    return {
        "classes": tensors["class_emb.weight"].shape[0],
        "depth": _count(tensors, "encoder_blocks."),
        "width": width,
        "decoder_depth": _count(tensors, "decoder_blocks."),
        "decoder_width": decoder_width,
        "head_depth": _count(tensors, "diffloss.net.res_blocks."),
        "head_width": tensors["diffloss.net.input_proj.weight"].shape[0],
        "token_width": token_width,
        "codes": codes,
        "buffer": tensors["encoder_pos_embed_learned"].shape[1] - codes,
    }


def _mar_text(facts: dict[str, Any]) -> str:
    return (
        f"a MAR network of {facts['depth']} and {facts['decoder_depth']} blocks, width {facts['width']} and "
        f"{facts['decoder_width']}, {facts['classes']} classes, {facts['codes']} tokens of "
        f"{facts['token_width']} numbers, head of {facts['head_depth']} blocks, width {facts['head_width']}"
    )


def _convolutional(tensors: Tensors, levels: str, block: str) -> dict[str, Any]:
    vocab, code_width = tensors["quantize.embedding.weight"].shape
    return {"vocab": vocab, "code_width": code_width, **_levels(tensors, levels, block)}


def _levels(tensors: Tensors, levels: str, block: str) -> dict[str, Any]:
    width, channels = tensors["encoder.conv_in.weight"].shape[:2]
    firsts = (f"{levels}.{level}.{block}.0.conv1.weight" for level in range(_count(tensors, f"{levels}.")))
    return {
        "channels": channels,
        "width": width,
        "width_mult": tuple(tensors[name].shape[0] // width for name in firsts if name in tensors),
        "res_blocks": _count(tensors, f"{levels}.0.{block}."),
    }


def _convolutional_text(facts: dict[str, Any]) -> str:
    return (
        f"{facts['vocab']} codes of width {facts['code_width']}, {facts['width']} channels and "
        f"{len(facts['width_mult'])} resolutions"
    )


def _count(tensors: Tensors, prefix: str) -> int:
    """How many numbered parts there are behind a prefix."""
    numbers = (name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


LOOKS: Final = (
    Look(
        "mar",
        frozenset({"z_proj.weight", "diffusion_pos_embed_learned", "diffloss.net.input_proj.weight"}),
        _mar_facts,
        _mar_text,
    ),
    Look(
        "kl",
        frozenset({"encoder.mid.attn_1.q.weight", "decoder.mid.attn_1.q.weight", "post_quant_conv.weight"}),
        _kl_facts,
        _kl_text,
    ),
    Look(
        "var_student",  # before VAR, whose tensors it has too
        frozenset({"word_embed.weight", "lvl_1L", "layerwise_n_d_embed.0.weight", "head.weight"}),
        _var_student_facts,
        _var_student_text,
    ),
    Look(
        "llamagen_student",  # before LlamaGen, likewise
        frozenset({"tok_embeddings.bias", "n_d_embed.weight", "layers.0.feed_forward.w1.weight"}),
        _llamagen_student_facts,
        _llamagen_student_text,
    ),
    Look(
        "var",
        frozenset({"word_embed.weight", "pos_1LC", "class_emb.weight", "head.weight"}),
        _var_facts,
        _var_text,
    ),
    Look(
        "nar",  # before LlamaGen, whose tensors it has too
        frozenset({"tok_embeddings.weight", "medusa_output.weight", "layers.0.feed_forward.w1.weight"}),
        _nar_facts,
        _nar_text,
    ),
    Look(
        "llamagen",
        frozenset({"tok_embeddings.weight", "output.weight", "layers.0.feed_forward.w1.weight"}),
        _llamagen_facts,
        _llamagen_text,
    ),
    Look(
        "drafter",
        frozenset({"embed_tokens.weight", "fc.weight", "layers.0.mlp.gate_proj.weight"}),
        _drafter_facts,
        _drafter_text,
    ),
    Look(
        "vq",
        frozenset(
            {"quantize.embedding.weight", "quant_conv.weight", "encoder.conv_blocks.0.res.0.conv1.weight"}
        ),
        _vq_facts,
        _vq_text,
    ),
    Look(
        "multiscale_vq",
        frozenset(
            {"quantize.embedding.weight", "encoder.conv_in.weight", "encoder.down.0.block.0.conv1.weight"}
        ),
        _multi_scale_facts,
        _multi_scale_text,
    ),
)
