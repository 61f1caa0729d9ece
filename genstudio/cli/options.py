"""Options that several commands share, so that they read and behave alike everywhere."""

from typing import Annotated

import typer
from genstudio_kernels.select import Kernels

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but the result.")]

Cfg = Annotated[float | None, typer.Option("--cfg", help="Guidance, as the paper counts it.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="Keep the k likeliest codes; 0 is off.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="Keep codes up to this share; 0 is off.")]
Heat = Annotated[float | None, typer.Option("--temperature", help="Divide logits by this.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Steps, where a method lets one choose.")]
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
    str | None, typer.Option("--max-memory", help="Refuse, before loading, what needs more: 8GB.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the network first.")]
