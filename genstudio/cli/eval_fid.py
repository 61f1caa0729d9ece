"""`genstudio eval-fid`: score a model by its published protocol, or pictures against pictures.

The first complaint about this family of models is that numbers cannot be reproduced: so the measured number
stands beside the reported one, with its interval, and every setting that differs from the protocol is named.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from genstudio.cli.complete import model_names
from genstudio.cli.console import emit
from genstudio.cli.options import (
    Accel,
    Accept,
    BestOf,
    Cfg,
    Device,
    Dtype,
    FeatureSource,
    HeadSteps,
    Heat,
    Json,
    Judge,
    KernelChoice,
    MaxMemory,
    Negative,
    PromptFile,
    Quiet,
    Smooth,
    Steps,
    TopK,
    TopP,
)
from genstudio.errors import GenstudioError

What = Annotated[
    str | None,
    typer.Argument(help="A model, a folder of pictures, or an .npz of samples.", autocompletion=model_names),
]
Count = Annotated[int | None, typer.Option("-n", "--num", min=2, help="Pictures [default: the protocol's].")]
Seed = Annotated[int | None, typer.Option("--seed", help="Picture i has seed SEED + i [default: 0].")]
LabelRule = Annotated[
    str | None, typer.Option("--labels", help="balanced, random, or training (as often as there).")
]
Features = Annotated[str | None, typer.Option("--extractor", help="Whose features: inception-v3-compat ...")]
Weights = Annotated[Path | None, typer.Option("--feature-weights", help="File of Inception weights.")]
Against = Annotated[str | None, typer.Option("-r", "--reference", help="Name, statistics, folder or .npz.")]
Metrics = Annotated[str | None, typer.Option("--metrics", help="fid,sfid,kid,is,pr,dc,share.")]
Stats = Annotated[Path | None, typer.Option("--save-stats", help="Write statistics: .safetensors or .npz.")]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", min=1, help="Pictures taken together [default: 100, or what --max-memory allows]."
    ),
]
Keeping = Annotated[str, typer.Option("--keep", help="Pictures to keep: none, grid, all.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for pictures that are kept.")]
Resume = Annotated[Path | None, typer.Option("--resume", help="Folder of the run: go on with it, keep it.")]
Until = Annotated[float | None, typer.Option("--until-interval", help="Stop at this half-width of 95 %.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that cannot be read.")]


def eval_fid(
    source: What = None,
    num: Count = None,
    seed: Seed = None,
    labels: LabelRule = None,
    prompts: PromptFile = None,
    negative: Negative = None,
    features: FeatureSource = None,
    cfg: Cfg = None,
    top_k: TopK = None,
    top_p: TopP = None,
    temperature: Heat = None,
    steps: Steps = None,
    head_steps: HeadSteps = None,
    smooth: Smooth = None,
    best_of: BestOf = 1,
    accept: Accept = None,
    judge: Judge = None,
    accel: Accel = None,
    extractor: Features = None,
    feature_weights: Weights = None,
    reference: Against = None,
    metrics: Metrics = None,
    save_stats: Stats = None,
    batch: Batch = None,
    keep: Keeping = "none",
    output: Output = Path("out"),
    resume: Resume = None,
    until_interval: Until = None,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    kernels: KernelChoice = None,
    max_memory: MaxMemory = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a model by its published protocol, or a folder of pictures.

    genstudio eval-fid var-fashion

    genstudio eval-fid made/ --reference real/ --extractor fashion-features

    torchrun --nproc-per-node 2 -m genstudio eval-fid var-fashion --resume runs/score
    """
    from genstudio.cli import scoring
    from genstudio.evaluation.plan import LABELS

    rule = _one_of(labels, LABELS, "--labels")
    against = {"extractor": extractor, "reference": reference, "metrics": scoring.metrics(metrics)}
    recipe = {"cfg": cfg, "top_k": top_k, "top_p": top_p, "temperature": temperature}
    wanted = scoring.Wanted(
        asked={"samples": num, "seed": seed, "labels": rule, "batch": batch, **against},
        fields={**recipe, "steps": steps, "head_steps": head_steps, "smooth": smooth},
        choosing={"best_of": best_of, "accept": accept, "judge": judge},
        accel=accel or [],
        texts={"prompts": prompts, "features": features, "negative": negative},
        machine={"device": device, "dtype": dtype, "kernels": kernels},
        max_memory=max_memory,
        feature_weights=feature_weights,
        save_stats=save_stats,
        keep=_one_of(keep, ("none", "grid", "all"), "--keep"),
        output=output,
        resume=resume,
        until_interval=until_interval,
        skip_bad=skip_bad,
    )
    report = scoring.run(source, wanted, quiet or json_)
    if report is None:
        return
    if json_:
        emit(report)
    else:
        scoring.say(report)


def _one_of(value: str | None, known: tuple[str, ...], flag: str) -> Any:
    if value is not None and value not in known:
        raise GenstudioError(f"{flag} {value} means nothing.", f"Give one of: {', '.join(known)}.")
    return value
