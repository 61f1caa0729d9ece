"""The released one-step students of Distilled Decoding (arXiv 2412.17153): numbers, files, recipes, scores.

Guidance and filters are those of the teacher's part, where it takes one. Published numbers of steps with a
teacher are 3, 4, 6 for VAR-d16 and 22, 42, 81 for LlamaGen-L; others keep the split that students have alone.
Nobody published hashes or sizes, and the licence of the weights is not stated where we looked: all unknown.
"""

from typing import Final

from genstudio.configs.llamagen import gated_width
from genstudio.configs.students import LlamaGenStudentConfig, StudentConfig, VARStudentConfig
from genstudio.releases import official_llamagen, official_var
from genstudio.releases.release import Distilled, File, Packing, Protocol, Release, Score
from genstudio.samplers.few_steps import FewSteps
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe, TopK, TopP

HUB: Final = "microsoft/distilled_decoding"
SOURCE: Final = "arXiv 2412.17153, github.com/microsoft/distilled_decoding"

VAR_PACKING: Final = Packing(
    unwrap=(("trainer", "ema_parameters"), ("trainer", "var_wo_ddp")), inert=("argparse.Namespace",)
)
LLAMAGEN_PACKING: Final = Packing(
    unwrap=(("ema",), *official_llamagen.PACKING.unwrap), inert=official_llamagen.PACKING.inert
)
VAR_LAW: Final = (Guidance(cfg=2.0, ramp=Plus()), (TopK(900), TopP(0.95)))
LLAMAGEN_LAW: Final = (Guidance(cfg=2.0), (TopK(8000),))

Scores = dict[int, float]


def _of_var(depth: int, turn: int, splits: tuple[tuple[int, int], ...], fid: Scores, is_: Scores) -> Release:
    config = VARStudentConfig(
        classes=1000,
        depth=depth,
        width=64 * depth,
        heads=depth,
        mlp_ratio=4.0,
        vocab=4096,
        code_width=32,
        sizes=official_var.SIZES_256,
        shared_adaln=False,
        l2_attention=True,
    )
    few = FewSteps(steps=1, turn=turn, splits=splits)
    return _release(
        config,
        f"var-d{depth}",
        official_var.TOKENIZER,
        File(hub=HUB, name=f"VAR-DD/var-d{depth}.pth"),
        VAR_PACKING,
        Recipe(guidance=VAR_LAW[0], filters=VAR_LAW[1], few=few),
        fid,
        is_,
    )


def _of_llamagen(size: str, splits: tuple[tuple[int, int], ...], fid: Scores, is_: Scores) -> Release:
    depth, heads, width = official_llamagen.SIZES[size]
    config = LlamaGenStudentConfig(
        depth=depth,
        width=width,
        heads=heads,
        hidden=gated_width(width),
        vocab=official_llamagen.VOCAB,
        side=256 // official_llamagen.STRIDE,
        classes=1000,
        code_width=8,
    )
    return _release(
        config,
        f"llamagen-{size.lower()}-256",
        official_llamagen.DS16,
        File(hub=HUB, name=f"LlamaGen-DD/llamagen-{size}.pt"),
        LLAMAGEN_PACKING,
        Recipe(
            guidance=LLAMAGEN_LAW[0],
            filters=LLAMAGEN_LAW[1],
            few=FewSteps(steps=1, turn=80, splits=splits),
        ),
        fid,
        is_,
    )


def _release(
    config: StudentConfig,
    teacher: str,
    tokenizer: Release,
    file: File,
    packing: Packing,
    recipe: Recipe,
    fid: Scores,
    is_: Scores,
) -> Release:
    return Release(
        name=f"{teacher}-dd",
        title=f"One-step student of {teacher}, ImageNet 256 px",
        config=config,
        licence=None,
        source=SOURCE,
        tokenizer=tokenizer.name,
        file=file,
        packing=packing,
        recipe=recipe,
        pixels=tokenizer.pixels,
        protocol=Protocol(
            samples=50_000,
            labels="random",
            extractor="inception-v3-compat",
            reference="imagenet-256",
            suite="torch-fidelity",
            metrics=("fid", "is"),
        ),
        classes="imagenet",
        distilled=Distilled(teacher=teacher),
        reported=(*_scores("FID-50k", fid), *_scores("IS-50k", is_)),
    )


def _scores(metric: str, found: Scores) -> tuple[Score, ...]:
    """One for every published number of steps."""
    return tuple(
        Score(metric=f"{metric} in {steps} step{'s' if steps > 1 else ''}", value=value, source=SOURCE)
        for steps, value in found.items()
    )


GENERATORS: Final = (
    _of_var(
        16,
        5,
        ((1, 5), (4, 8), (6, 9)),
        {1: 9.94, 2: 7.82, 3: 6.54, 4: 5.47, 6: 5.03},
        {1: 193.6, 2: 197.0},
    ),
    _of_var(20, 4, ((1, 4),), {1: 9.55, 2: 7.33}, {1: 197.2, 2: 204.5}),
    _of_var(24, 4, ((1, 4),), {1: 8.92, 2: 6.95}, {1: 202.8, 2: 222.5}),
    _of_llamagen("B", ((1, 80),), {1: 15.50, 2: 11.17}, {1: 135.4, 2: 154.8}),
    _of_llamagen(
        "L",
        ((1, 130), (3, 180), (81, 220)),
        {1: 11.35, 2: 7.58, 22: 6.76, 42: 6.20, 81: 5.71},
        {1: 193.6, 2: 237.5},
    ),
)
