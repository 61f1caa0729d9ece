"""The released checkpoints of VAR (arXiv 2404.02905): architecture numbers, files, recipe, reported scores.

Sizes are computed from the tensors and rounded to a megabyte. Nobody published hashes, and the licence of the
weights is not stated where we looked, so both stay unknown. In April 2024 the d16 and d30 files were replaced
by versions with L2-normalised attention; the first uploads, which some people still have, are the `-plain`
releases.
"""

from typing import Final

from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.configs.var import VARConfig
from genstudio.releases.release import File, Packing, PixelRule, Protocol, Release, Score
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe, TopK, TopP

HUB: Final = "FoundationVision/var"
SOURCE: Final = "arXiv 2404.02905, github.com/FoundationVision/VAR"
README: Final = "README of github.com/FoundationVision/VAR"

SIZES_256: Final = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
SIZES_512: Final = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)

# top-k comes before top-p, and the paper's cfg of 1.5 is a weight of 2.5 at the last scale.
RECIPE: Final = Recipe(guidance=Guidance(cfg=1.5, ramp=Plus()), filters=(TopK(900), TopP(0.96)))
PIXELS: Final = PixelRule(rounding="truncate")

TOKENIZER: Final = Release(
    name="var-vqvae",
    title="VAR tokenizer, 4096 codes, one file for every resolution",
    config=MultiScaleVQConfig(
        channels=3,
        width=160,
        width_mult=(1, 1, 2, 2, 4),
        res_blocks=2,
        code_width=32,
        vocab=4096,
        sizes=SIZES_256,
        phis=4,
        phi_ratio=0.5,
        quant_kernel=3,
        beta=0.25,
    ),
    licence=None,
    source=SOURCE,
    file=File(hub=HUB, name="vae_ch160v4096z32.pth", size=440_000_000),
    packing=Packing(unwrap=(("trainer", "vae_local"),), inert=("argparse.Namespace",)),
    pixels=PIXELS,
)


def _generator(depth: int, megabytes: int, fid: float | None, pixels: int = 256, suffix: str = "") -> Release:
    """Width, heads and file name follow from the depth; 512 px also means shared adaLN."""
    large = pixels == 512
    config = VARConfig(
        classes=1000,
        depth=depth,
        width=64 * depth,
        heads=depth,
        mlp_ratio=4.0,
        vocab=4096,
        code_width=32,
        sizes=SIZES_512 if large else SIZES_256,
        shared_adaln=large,
        l2_attention=suffix != "-plain",
    )
    return Release(
        name=f"var-d{depth}{suffix}",
        title=f"VAR-d{depth}, ImageNet {pixels} px" + (", before April 2024" if suffix == "-plain" else ""),
        config=config,
        licence=None,
        source=SOURCE,
        tokenizer=TOKENIZER.name,
        file=File(hub=HUB, name=f"var_d{depth}.pth", size=megabytes * 1_000_000),
        packing=Packing(unwrap=(("trainer", "var_wo_ddp"),), inert=("argparse.Namespace",)),
        recipe=RECIPE,
        pixels=PIXELS,
        protocol=Protocol(
            samples=50_000,
            labels="balanced",
            extractor="inception-v3-compat",
            reference=f"imagenet-{pixels}",
            suite="adm",
            metrics=("fid", "sfid", "is", "pr"),
        ),
        classes="imagenet",
        reported=(Score(metric="FID-50k", value=fid, source=README),) if fid is not None else (),
    )


GENERATORS: Final = (
    _generator(16, 1_243, 3.55),
    _generator(20, 2_406, 2.95),
    _generator(24, 4_136, 2.33),
    _generator(30, 8_042, 1.97),
    _generator(36, 9_436, 2.63, pixels=512, suffix="-512"),
    _generator(16, 1_243, None, suffix="-plain"),
    _generator(30, 8_042, None, suffix="-plain"),
)
