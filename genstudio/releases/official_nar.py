"""The released checkpoints of NAR for pictures (arXiv 2503.10696): numbers, files, recipes, reported scores.

Codes are those of LlamaGen's tokenizers. Nobody published hashes. Where we looked two repositories state a
licence and one names its file (NAR-B's): the other files are expected under the same name, and licences that
nobody stated stay unknown. The official scripts sample NAR-B with cfg 2.0 and say nothing of other sizes.
"""

from typing import Final

from genstudio.configs.llamagen import Caption, gated_width
from genstudio.configs.nar import NARConfig
from genstudio.releases.official_llamagen import (
    CAPTION,
    DS16,
    DS16_TEXT,
    PACKING,
    PIXELS,
    SIZES,
    STRIDE,
    TEXT,
    VOCAB,
)
from genstudio.releases.release import File, Protocol, Release, Score
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe

SOURCE: Final = "arXiv 2503.10696, github.com/ThisisBillhe/NAR"
RECALLED: Final = "from memory of arXiv 2503.10696"
FILE: Final = "last_version.pt"

# depth, heads, width: LlamaGen's, and one size of its own
NAR_SIZES: Final = {**SIZES, "M": (18, 16, 1024)}


def _config(size: str, pixels: int, classes: int = 0, caption: Caption | None = None) -> NARConfig:
    depth, heads, width = NAR_SIZES[size]
    return NARConfig(
        depth=depth,
        width=width,
        heads=heads,
        hidden=gated_width(width),
        vocab=VOCAB,
        side=pixels // STRIDE,
        classes=classes,
        caption=caption,
    )


def _of_classes(size: str, owner: str, fid: float, licence: str | None = None) -> Release:
    return Release(
        name=f"nar-{size.lower()}-256",
        title=f"NAR-{size}, ImageNet 256 px",
        config=_config(size, 256, classes=1000),
        licence=licence,
        source=SOURCE if size == "B" else f"{SOURCE}; cfg as for NAR-B",
        tokenizer=DS16.name,
        file=File(hub=f"{owner}/NAR-imagenet-256-{size}", name=FILE),
        packing=PACKING,
        recipe=Recipe(guidance=Guidance(cfg=2.0)),
        pixels=PIXELS,
        protocol=Protocol(
            samples=50_000,
            labels="random",
            extractor="inception-v3-compat",
            reference="imagenet-256",
            suite="adm",
            metrics=("fid", "sfid", "is", "pr"),
        ),
        classes="imagenet",
        reported=(Score(metric="FID-50k", value=fid, source=RECALLED),),
    )


def _of_text(stage: int, pixels: int, data: str) -> Release:
    return Release(
        name=f"nar-t2i-xl-{pixels}",
        title=f"NAR-XL from text, {pixels} px, stage {stage} ({data})",
        config=_config("XL", pixels, caption=CAPTION),
        licence=None,
        source=SOURCE,
        tokenizer=DS16_TEXT.name,
        text=TEXT,
        file=File(hub=f"yefly/NAR-XL-t2i-stage{stage}", name=FILE),
        packing=PACKING,
        recipe=Recipe(guidance=Guidance(cfg=7.5)),
        pixels=PIXELS,
    )


GENERATORS: Final = (
    _of_classes("B", "chenfeng1271", 4.65, "Apache-2.0"),
    _of_classes("M", "yefly", 3.27),
    _of_classes("L", "chenfeng1271", 3.06),
    _of_classes("XL", "yefly", 2.70, "MIT"),
    _of_classes("XXL", "chenfeng1271", 2.58),
    _of_text(1, 256, "4 M of LAION-COCO"),
    _of_text(2, 512, "text-to-image-2M"),
)
