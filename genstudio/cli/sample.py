"""`genstudio sample`: pictures from a model, with the published recipe unless a flag says otherwise.

Every picture is written as soon as its batch is decoded, so that an interrupted run keeps what it finished.
The PNG holds the whole run; `--from` makes the same pixels again, in a batch of the same shape.
"""

from pathlib import Path
from typing import Annotated

import typer

from genstudio.cli.complete import class_names
from genstudio.cli.console import emit
from genstudio.cli.options import (
    Accel,
    Accept,
    Animate,
    BestOf,
    Captions,
    Cfg,
    Compile,
    Device,
    Dtype,
    Edited,
    FeatureSource,
    HeadSteps,
    Heat,
    Json,
    Judge,
    KernelChoice,
    MaskFile,
    MaxMemory,
    Model,
    Negative,
    Outside,
    Overlay,
    Paste,
    Previews,
    PromptFile,
    PromptText,
    Quiet,
    Smooth,
    Steps,
    TopK,
    TopP,
)
from genstudio.processes import Processes

Classes = Annotated[
    str | None,
    typer.Option("-c", "--class", help="Ids, ranges, names: 1,3-5,bag; or none.", autocompletion=class_names),
]
Count = Annotated[int | None, typer.Option("-n", "--num", help="Pictures of each class.")]
Seed = Annotated[str, typer.Option("--seed", help="7, or a list 1,5,9, or a range 0-63.")]
Batch = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="Pictures sampled together [default: 16, or what memory allows]."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the pictures.")]
Grid = Annotated[
    bool | None, typer.Option("--grid/--no-grid", help="One picture of all [default: if several].")
]
From = Annotated[Path | None, typer.Option("--from", help="Make the picture in this PNG again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run; load nothing.")]


def sample(
    model: Model = None,
    classes: Classes = None,
    prompt: PromptText = None,
    prompts: PromptFile = None,
    negative: Negative = None,
    features: FeatureSource = None,
    num: Count = None,
    seed: Seed = "0",
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
    image: Edited = None,
    mask: MaskFile = None,
    outside: Outside = False,
    paste: Paste = False,
    accel: Accel = None,
    batch: Batch = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    kernels: KernelChoice = None,
    compile_: Compile = False,
    max_memory: MaxMemory = None,
    output: Output = Path("out"),
    grid: Grid = None,
    captions: Captions = True,
    preview: Previews = None,
    animate: Animate = None,
    overlay: Overlay = None,
    source: From = None,
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make pictures.

    genstudio sample var-fashion -c bag,dress -n 4 --seed 0

    genstudio sample --from out/var-fashion/008-000003.png

    genstudio sample llamagen-t2i-xl-256 -p "a red bird" -p "a blue fish" --seed 0-3

    genstudio sample llamagen-xl-384 -c goldfish --accel spectr:k=2 --overlay drafts.png

    genstudio sample -c shirt --image photo.png --mask sleeve.png

    torchrun --nproc-per-node 2 -m genstudio sample var-fashion -n 100
    """
    from genstudio.cli import sampling

    processes = Processes.of_this_run()
    silent = quiet or json_ or not processes.first
    recipe = {"cfg": cfg, "top_k": top_k, "top_p": top_p, "temperature": temperature}
    asked = sampling.Asked(
        model=model,
        classes=classes,
        num=num,
        seed=seed,
        source=source,
        fields={**recipe, "steps": steps, "head_steps": head_steps, "smooth": smooth},
        choosing={"best_of": best_of, "accept": accept, "judge": judge},
        editing={"image": image, "mask": mask, "outside": outside, "paste": paste},
        texts={"prompts": prompt or (), "file": prompts, "features": features, "negative": negative},
        accel=accel or [],
        machine={"device": device, "dtype": dtype, "kernels": kernels},
        batch=batch,
        max_memory=max_memory,
        compile=compile_,
    )
    showing = sampling.Showing(output, grid, captions, preview or [], animate, overlay)
    result = sampling.run(asked, showing, dry_run, silent, processes)
    if processes.first:
        (emit if json_ or dry_run else sampling.say)(result)
