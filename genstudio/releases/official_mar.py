"""The released checkpoints of MAR (arXiv 2406.11838): numbers, files, recipes, reported scores.

The authors share files by links of their own. The hub holds a mirror, where they are expected under the same
names; nobody looked. Nobody published hashes, nor a licence of the weights. A file of MAR holds the trained
weights and their average, which is the one to sample with.
"""

from typing import Final

from genstudio.configs.kl import KLConfig
from genstudio.configs.mar import MARConfig
from genstudio.releases.release import File, Packing, PixelRule, Protocol, Release, Score
from genstudio.samplers.guidance import Guidance, Linear
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import Denoising, Fixed

SOURCE: Final = "arXiv 2406.11838, github.com/LTH14/mar"
README: Final = "README of github.com/LTH14/mar"
PAPER: Final = "arXiv 2406.11838"
HUB: Final = "jadechoghari/mar"
PIXELS: Final = PixelRule()
MIB: Final = 1 << 20
INERT: Final = ("argparse.Namespace",)

TOKENIZER: Final = Release(
    name="mar-kl16",
    title="KL-16 tokenizer of MAR, 16 pixels a cell, 16 channels",
    config=KLConfig(
        channels=3,
        width=128,
        width_mult=(1, 1, 2, 2, 4),
        res_blocks=2,
        code_width=16,
        pixels=256,
        scale=0.2325,
    ),
    licence=None,
    source=SOURCE,
    file=File(hub=HUB, name="vae/kl16.ckpt", size=254 * MIB),
    packing=Packing(unwrap=(("model",),), inert=INERT),
    pixels=PIXELS,
    reported=(Score(metric="rFID at 256 px", value=0.53, source="github.com/LTH14/mar, issue 3"),),
)


def _generator(
    size: str,
    folder: str,
    mebibytes: int,
    depth: int,
    width: int,
    heads: int,
    head: tuple[int, int],
    cfg: float,
    guided: tuple[float, float],
    plain: tuple[float, float],
) -> Release:
    """Encoder and decoder are alike. `head` is depth and width; scores: FID and IS, with and without cfg."""
    config = MARConfig(
        classes=1000,
        depth=depth,
        width=width,
        heads=heads,
        decoder_depth=depth,
        decoder_width=width,
        decoder_heads=heads,
        head_depth=head[0],
        head_width=head[1],
        side=16,
        code_width=16,
    )
    scores = zip(("FID-50k", "IS-50k"), guided, plain, strict=True)
    return Release(
        name=f"mar-{size.lower()}",
        title=f"MAR-{size}, ImageNet 256 px",
        config=config,
        licence=None,
        source=SOURCE,
        tokenizer=TOKENIZER.name,
        file=File(hub=HUB, name=f"{folder}/checkpoint-last.pth", size=mebibytes * MIB),
        packing=Packing(unwrap=(("model_ema",),), inert=INERT),
        recipe=Recipe(guidance=Guidance(cfg=cfg, ramp=Linear()), steps=256, head=Denoising(steps=Fixed(100))),
        pixels=PIXELS,
        protocol=Protocol(
            samples=50_000,
            labels="balanced",
            extractor="inception-v3-compat",
            reference="imagenet-256",
            suite="adm",
            metrics=("fid", "is"),
        ),
        classes="imagenet",
        reported=tuple(
            Score(metric=f"{metric}{without}", value=value, source=source)
            for metric, *values in scores
            for without, value, source in zip(("", " without cfg"), values, (README, PAPER), strict=True)
        ),
    )


GENERATORS: Final = (
    _generator("B", "mar_base", 1587, 12, 768, 12, (6, 1024), 2.9, (2.31, 281.7), (3.48, 192.4)),
    _generator("L", "mar_large", 3650, 16, 1024, 16, (8, 1280), 3.0, (1.78, 296.0), (2.60, 221.4)),
    _generator("H", "mar_huge", 7191, 20, 1280, 16, (12, 1536), 3.2, (1.55, 303.7), (2.35, 227.8)),
)
