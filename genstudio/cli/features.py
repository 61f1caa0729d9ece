"""`genstudio features`: features of many prompts in one file, so that an encoder of gigabytes is asked once.

Batches are kept as they are made: a run that was stopped goes on with the same command. `sample` and
`eval-fid` read the file on machines that have no encoder.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genstudio.cli.complete import model_names
from genstudio.cli.console import Meter, emit, note
from genstudio.cli.options import Device, Dtype, Json, Quiet
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from genstudio.releases.release import Release

File = Annotated[Path, typer.Argument(help='One prompt a line, or JSON lines of {"prompt": ...}.')]
Output = Annotated[Path, typer.Option("-o", "--output", help="The file to write: x.safetensors.")]
For = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The model that reads them [default: the first published one from text].",
        autocompletion=model_names,
    ),
]
Encoder = Annotated[
    str | None, typer.Option("--encoder", help="Name or folder of the text encoder [default: the model's].")
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Prompts read and kept together.")]


def features(
    prompts_file: File,
    output: Output,
    model: For = None,
    encoder: Encoder = None,
    batch: Batch = 16,
    device: Device = "auto",
    dtype: Dtype = "auto",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read prompts by a text encoder once, and keep what it says.

    genstudio features prompts.txt -o prompts.safetensors

    genstudio features prompts.jsonl -o x.safetensors --encoder ~/flan-t5-xl --dtype bf16

    genstudio sample llamagen-t2i-xl-256 --features prompts.safetensors
    """
    from genstudio.text.prompts import choose_prompts, read_prompts

    release = _reader(model)
    start, quiet = time.perf_counter(), quiet or json_
    chosen = choose_prompts(release, read_prompts(prompts_file))
    assert chosen is not None
    from genstudio.runtime import Runtime
    from genstudio.text.encoding import encode
    from genstudio.text.t5 import open_t5, open_tokens

    open_tokens(release, encoder).check(chosen.texts)
    opened = open_t5(release, Runtime.choose(device, dtype), encoder)
    note(f"{opened.making.encoder} in {opened.making.dtype}, for {release.name}", quiet)
    with Meter("prompts", len(chosen.texts), quiet, unit="prompts") as meter:
        made = encode(opened, chosen.texts, output, batch, meter.reach).made
    result = {
        "file": str(output),
        "model": release.name,
        "prompts": len(chosen.texts),
        "made": made,
        "making": asdict(opened.making),
        "seconds": time.perf_counter() - start,
    }
    (emit if json_ else _say)(result)


def _reader(model: str | None) -> "Release":
    """The release that prompts are read for."""
    from genstudio.releases import catalogue

    if model is not None:
        release = catalogue.find(model)
        if release.caption is not None and release.text is None:
            raise GenstudioError(f"{release.name} names no text encoder.", "Choose another --model.")
        return release
    first = next((one for one in catalogue.OFFICIAL.values() if one.text is not None), None)
    if first is None:
        raise GenstudioError("No published model reads text.", "Give --model NAME.")
    return first


def _say(result: dict[str, Any]) -> None:
    print(result["file"])
    count, made = result["prompts"], result["made"]
    print(f"{count} prompts for {result['model']}, {made} of them read in {result['seconds']:.1f} s")
