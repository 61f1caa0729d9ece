"""Options that several commands share, so that they read and behave alike everywhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from genstudio_kernels.select import Kernels

from genstudio.cli.complete import accelerator_names, model_names

Model = Annotated[
    str | None,
    typer.Argument(help="Name or folder of a release. Default: the showpiece.", autocompletion=model_names),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but the result.")]

PromptText = Annotated[
    list[str] | None, typer.Option("-p", "--prompt", help="What a picture shows. Repeatable.")
]
PromptFile = Annotated[
    Path | None, typer.Option("--prompts", help='One prompt a line, or JSON lines of {"prompt": ...}.')
]
Negative = Annotated[
    str | None, typer.Option("--negative", help="What to steer away from, in place of no text.")
]
FeatureSource = Annotated[
    Path | None, typer.Option("--features", help="Features of prompts, by `genstudio features`.")
]
Accel = Annotated[
    list[str] | None,
    typer.Option(
        "--accel",
        help="NAME or NAME:key=value,...; see `models --accel`.",
        autocompletion=accelerator_names,
    ),
]
EachAccel = Annotated[
    list[str] | None,
    typer.Option(
        "--accel",
        help="NAME or NAME:key=value,...: measured beside plain. Repeatable.",
        autocompletion=accelerator_names,
    ),
]

Cfg = Annotated[float | None, typer.Option("--cfg", help="Guidance, as the paper counts it.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="Keep the k likeliest codes; 0 is off.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="Keep codes up to this share; 0 is off.")]
Heat = Annotated[
    float | None,
    typer.Option("--temperature", help="Divide logits by this; or multiply the noise of a head's steps."),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Steps, where a method lets one choose.")]
HeadSteps = Annotated[
    str | None,
    typer.Option(
        "--head-steps",
        help="Denoising steps of a code, where a head denoises: 50; or 50:5, fewer and fewer; or 50:5:SHAPE "
        "with linear, cosine, two-stage, constant.",
    ),
]
Smooth = Annotated[bool | None, typer.Option("--smooth/--no-smooth", help="VAR's smoother pictures; lossy.")]
BestOf = Annotated[int, typer.Option("--best-of", min=1, help="Candidates a picture; the likeliest wins.")]
Accept = Annotated[
    float | None, typer.Option("--accept", help="Take the first candidate of this class probability.")
]
Judge = Annotated[
    str | None, typer.Option("--judge", help="The classifier that judges. Default: the model's protocol's.")
]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, fp32, bf16, fp16.")]
KernelChoice = Annotated[Kernels | None, typer.Option("--kernels", help="Force a twin: torch or triton.")]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        help="8GB, 512MB: the batch becomes the largest that fits; a --batch that is given, or a single "
        "picture, that needs more is refused before anything loads.",
    ),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the network first.")]

Previews = Annotated[
    list[str] | None,
    typer.Option(
        "--preview", help="Folder for one picture per step; or inline: in the terminal. Repeatable."
    ),
]
Animate = Annotated[
    Literal["gif", "webp"] | None,
    typer.Option(
        "--animate", help="Also write the steps of every picture, and of the grid, as an animation."
    ),
]
Overlay = Annotated[
    Path | None, typer.Option("--overlay", help="PNG that shows where drafts of --accel were accepted.")
]
Captions = Annotated[bool, typer.Option("--captions/--no-captions", help="Seeds and classes in the grid.")]

Edited = Annotated[
    Path | None, typer.Option("--image", help="Keep a part of this picture; without -c of no class.")
]
MaskFile = Annotated[
    Path | None,
    typer.Option("--mask", help="Grey, of the picture's size: white is made anew, black is kept."),
]
Outside = Annotated[bool, typer.Option("--outside", help="The other way round: black is made anew.")]
Paste = Annotated[
    bool, typer.Option("--paste", help="Put kept pixels back unchanged; else they are decoded from codes.")
]
