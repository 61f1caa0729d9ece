"""What a pass over several codes costs beside a pass over one: all that a draft has to be worth.

    python scripts/bench_windows.py llamagen-b-256 --windows 1,4,8,16,59 --batch 1,16 > windows.json

Random weights, guided; half of every picture is known. `cost` is the time in passes over one code, in the
same turn: a window of that width pays where it makes more codes than that in a pass, drafting left aside.
"""

import json
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from genstudio.cli.main import guarded
from genstudio.runtime import use_large_pages

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.cache.ragged import RaggedCache
    from genstudio.generators.llamagen import LlamaGen
    from genstudio.runtime import Runtime
    from genstudio.samplers.values import Cond

app = typer.Typer(add_completion=False)


@app.command()
def bench_windows(
    model: Annotated[str, typer.Argument(help="A LlamaGen release; its weights need not be here.")],
    windows: Annotated[str, typer.Option(help="Codes in a pass.")] = "1,4,8,16,59",
    batch: Annotated[str, typer.Option(help="Pictures together.")] = "1,16",
    dtype: Annotated[str, typer.Option(help="Number types: fp32,bf16.")] = "fp32,bf16",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    num: Annotated[int, typer.Option("-n", min=1, help="Turns after one to warm up.")] = 5,
) -> None:
    """Print milliseconds and costs as JSON."""
    from genstudio.measure.bench import machine_of, note_on
    from genstudio.measure.machine import Others
    from genstudio.runtime import Runtime

    others, widths, rows = Others(), _numbers(windows), []
    for name in dtype.split(","):
        runtime = Runtime.choose(device, name)
        network = _network(model, runtime)
        for count in _numbers(batch):
            rows += _rows(network, runtime, count, sorted({1, *widths}), num)
    share = others.share()
    facts = {"model": model, "weights": "random", "machine": machine_of(runtime), "note": note_on(share)}
    print(json.dumps({**facts, "others": share, "passes": rows}, indent=2))


def _network(model: str, runtime: "Runtime") -> "LlamaGen":
    from genstudio import registry
    from genstudio.errors import GenstudioError
    from genstudio.generators.llamagen import LlamaGen
    from genstudio.nn.linear import pack
    from genstudio.releases import catalogue
    from genstudio.training.initial import initialise

    network = initialise(registry.build(catalogue.find(model).config, "cpu"), 0).eval().requires_grad_(False)
    if not isinstance(network, LlamaGen):
        raise GenstudioError(f"{model} makes no single codes.", "Name a LlamaGen release.")
    network = network.to(runtime.torch_device, runtime.torch_dtype)
    pack(network)
    return network


def _rows(
    network: "LlamaGen", runtime: "Runtime", batch: int, widths: list[int], num: int
) -> list[dict[str, Any]]:
    half = Half.of(network, runtime, batch, max(widths))
    turns = [{width: half.seconds(network, width) for width in widths} for _ in range(num + 1)][1:]
    return [
        {
            "dtype": runtime.dtype,
            "batch": batch,
            "window": width,
            "ms": 1000 * median(turn[width] for turn in turns),
            "cost": median(turn[width] / turn[1] for turn in turns),
        }
        for width in widths
    ]


class Half(NamedTuple):
    """Pictures of which the first half is known: what a window is looked at behind."""

    codes: int
    cond: "Cond"
    cache: "RaggedCache"

    @staticmethod
    def of(network: "LlamaGen", runtime: "Runtime", batch: int, room: int) -> "Half":
        import torch

        from genstudio.cache.ragged import RaggedCache
        from genstudio.samplers.values import Given

        config, device = network.config, runtime.torch_device
        label_B = torch.zeros(batch, dtype=torch.int64, device=device)
        with torch.inference_mode():
            cond, codes = network.condition(Given(label_B=label_B), True), config.codes // 2
            spec = config.cache_spec(cond.start_RTD.shape[0], codes + room, runtime.dtype)
            half = Half(codes, cond, RaggedCache(spec, device))
            half.look(network, 0, codes)
            half.cache.commit(codes)
        return half

    def seconds(self, network: "LlamaGen", width: int) -> float:
        """Of one pass over a window, logits of all its places included; nothing of it is kept."""
        import torch

        from genstudio.measure.machine import synchronise

        device = self.cond.start_RTD.device
        with torch.inference_mode():
            synchronise(device)
            start = time.perf_counter()
            network.logits(self.look(network, self.codes, width), self.cond)
            synchronise(device)
        return time.perf_counter() - start

    def look(self, network: "LlamaGen", first: int, width: int) -> "Tensor":
        """Hidden states [R,n,D] of `width` codes from slot `first` on."""
        import torch

        from genstudio.samplers.values import Causal, Feed

        rows, device = self.cond.start_RTD.shape[0], self.cond.start_RTD.device
        at_1n = torch.arange(first, first + width, device=device)[None]
        x_RnD = network.embed(at_1n.expand(rows, width) % network.config.vocab)
        return network.forward(x_RnD, Feed(at_1n, Causal()), self.cond, self.cache)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    use_large_pages()
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
