"""The released checkpoints of LlamaGen (arXiv 2406.06525): numbers, files, recipes, reported scores.

Nobody published hashes or sizes, and the licence of the weights is not stated where we looked: all stay
unknown. Files of one network for 256 and 384 px hold the same tensors; only their names tell them apart.
Networks that were trained sharded (XXL, 3B) are bare tables of tensors, the others lie under "model".
"""

from typing import Final, Literal

from genstudio.configs.llamagen import Caption, LlamaGenConfig, gated_width
from genstudio.configs.vq import VQConfig
from genstudio.releases.release import (
    Companions,
    File,
    Packing,
    PixelRule,
    Protocol,
    Release,
    Score,
    TextPart,
)
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe, TopK

HUB: Final = "FoundationVision/LlamaGen"
TEXT_HUB: Final = "peizesun/llamagen_t2i"
SOURCE: Final = "arXiv 2406.06525, github.com/FoundationVision/LlamaGen"
README: Final = "README of github.com/FoundationVision/LlamaGen"
RECALLED: Final = "from memory of arXiv 2406.06525"

# The official loader's order. Whoever trains with the official code also finds an argparse.Namespace inside.
PACKING: Final = Packing(unwrap=(("model",), ("module",), ("state_dict",)), inert=("argparse.Namespace",))
PIXELS: Final = PixelRule(rounding="half-up")
STRIDE: Final = 16
VOCAB: Final = 16_384
CAPTION: Final = Caption(slots=120, width=2048)
TEXT: Final = TextPart(encoder="google/flan-t5-xl", cleaning="deepfloyd")
SCORED: Final = 256  # pixels: larger pictures are brought to it before they are scored
SMALLEST: Final = "B"  # drafts for all others
# depth, heads, width
SIZES: Final = {
    "B": (12, 12, 768),
    "L": (24, 16, 1024),
    "XL": (36, 20, 1280),
    "XXL": (48, 24, 1536),
    "3B": (24, 32, 3200),
}


def _tokenizer(
    name: str, title: str, file: File, width_mult: tuple[int, ...], *reported: tuple[str, float]
) -> Release:
    config = VQConfig(
        channels=3,
        width=128,
        width_mult=width_mult,
        res_blocks=2,
        latent_width=256,
        code_width=8,
        vocab=VOCAB,
        pixels=256,
    )
    return Release(
        name=name,
        title=title,
        config=config,
        licence=None,
        source=SOURCE,
        file=file,
        packing=PACKING,
        pixels=PIXELS,
        reported=tuple(Score(metric=metric, value=value, source=README) for metric, value in reported),
    )


DS16: Final = _tokenizer(
    "llamagen-vq-ds16",
    "LlamaGen tokenizer, 16 pixels a code, one file for every resolution",
    File(hub=HUB, name="vq_ds16_c2i.pt"),
    (1, 1, 2, 2, 4),
    ("rFID at 256 px", 2.19),
    ("rFID at 384 px, scored at 256", 0.94),
    ("rFID at 512 px, scored at 256", 0.70),
)
DS8: Final = _tokenizer(
    "llamagen-vq-ds8",
    "LlamaGen tokenizer, 8 pixels a code",
    File(hub=HUB, name="vq_ds8_c2i.pt"),
    (1, 2, 2, 4),
    ("rFID at 256 px", 0.59),
)
DS16_TEXT: Final = _tokenizer(
    "llamagen-vq-ds16-t2i",
    "LlamaGen tokenizer of the text-to-image models, 16 pixels a code",
    File(hub=TEXT_HUB, name="vq_ds16_t2i.pt"),
    (1, 1, 2, 2, 4),
)
TOKENIZERS: Final = (DS16, DS8, DS16_TEXT)


def _config(size: str, pixels: int, classes: int = 0, caption: Caption | None = None) -> LlamaGenConfig:
    depth, heads, width = SIZES[size]
    return LlamaGenConfig(
        depth=depth,
        width=width,
        heads=heads,
        hidden=gated_width(width),
        vocab=VOCAB,
        side=pixels // STRIDE,
        classes=classes,
        caption=caption,
    )


def _of_classes(
    size: str,
    pixels: int,
    cfg: float,
    fid: float,
    inception: float,
    recalled: Literal["cfg", "IS"] | None = None,
) -> Release:
    """`recalled` is a number that was written down from memory of the paper; the others are in the README."""
    return Release(
        name=f"llamagen-{size.lower()}-{pixels}",
        title=f"LlamaGen-{size}, ImageNet {pixels} px",
        config=_config(size, pixels, classes=1000),
        licence=None,
        source=f"{SOURCE}; cfg {RECALLED}" if recalled == "cfg" else SOURCE,
        tokenizer=DS16.name,
        companions=Companions(draft=None if size == SMALLEST else f"llamagen-{SMALLEST.lower()}-{pixels}"),
        file=File(hub=HUB, name=f"c2i_{size}_{pixels}.pt"),
        packing=PACKING,
        recipe=Recipe(guidance=Guidance(cfg=cfg)),
        pixels=PIXELS,
        protocol=Protocol(
            samples=50_000,
            labels="random",
            extractor="inception-v3-compat",
            reference=f"imagenet-{SCORED}",
            suite="adm",
            metrics=("fid", "sfid", "is", "pr"),
            side=SCORED if pixels != SCORED else None,
        ),
        classes="imagenet",
        reported=(
            Score(metric="FID-50k", value=fid, source=README),
            Score(metric="IS-50k", value=inception, source=RECALLED if recalled == "IS" else README),
        ),
    )


def _of_text(stage: int, pixels: int, data: str, drafter: str) -> Release:
    return Release(
        name=f"llamagen-t2i-xl-{pixels}",
        title=f"LlamaGen-XL from text, {pixels} px, stage {stage} ({data})",
        config=_config("XL", pixels, caption=CAPTION),
        licence=None,
        source=SOURCE,
        tokenizer=DS16_TEXT.name,
        text=TEXT,
        companions=Companions(drafter=drafter),
        file=File(hub=TEXT_HUB, name=f"t2i_XL_stage{stage}_{pixels}.pt"),
        packing=PACKING,
        recipe=Recipe(guidance=Guidance(cfg=7.5), filters=(TopK(1000),)),
        pixels=PIXELS,
    )


GENERATORS: Final = (
    _of_classes("B", 256, 2.0, 5.46, 193.6),
    _of_classes("B", 384, 2.0, 6.09, 182.5),
    _of_classes("L", 256, 1.75, 3.80, 248.3, recalled="cfg"),
    _of_classes("L", 384, 2.0, 3.07, 256.1),
    _of_classes("XL", 384, 1.75, 2.62, 244.1),
    _of_classes("XXL", 384, 1.75, 2.34, 253.9, recalled="IS"),
    _of_classes("3B", 384, 1.65, 2.18, 263.3, recalled="IS"),
    _of_text(1, 256, "50 M of LAION-COCO", "llamagen-drafter"),
    _of_text(2, 512, "10 M internal pictures", "llamagen2-drafter"),
)
