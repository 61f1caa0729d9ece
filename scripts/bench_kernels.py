"""Time every kernel on a GPU: the Triton twin beside the torch twin, plain and compiled.

python scripts/bench_kernels.py > kernels.json

Shapes are those of VAR-d16 and VAR-d30 at batch 1 and 64, of a tokenizer that encodes pictures of 256 px, and
of LANTERN's k = 1000 on the 16,384 codes of LlamaGen, and of LlamaGen-L decoding windows of drafts behind
anything up to all of its codes at 384 px. Errors are the largest differences of the twins;
nearest codes may differ where two are nearly as close.
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from genstudio.cli.main import guarded
from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(add_completion=False)


class Kernel(NamedTuple):
    """One kernel on one set of arguments; `bytes` and `flops` are the least that it moves and computes."""

    name: str
    shape: str
    dtype: str
    torch_twin: Callable[..., "Tensor"]
    triton_twin: Callable[..., "Tensor"]
    arguments: tuple[Any, ...]
    bytes: int
    flops: int


@app.command()
def bench_kernels() -> None:
    """Print milliseconds (median), achieved rates and errors as JSON."""
    import torch

    from genstudio.measure.machine import device_name
    from genstudio.runtime import versions

    if not torch.cuda.is_available():
        raise GenstudioError(
            "There is no GPU here, and an interpreted kernel has no speed.",
            "Run this on a machine with one; pytest tests/kernels compares the twins anywhere.",
        )
    import triton

    report = {
        "machine": device_name(torch.device("cuda")),
        "versions": {**versions(), "triton": triton.__version__},
        "kernels": [_measured(kernel) for kernel in _kernels()],
    }
    print(json.dumps(report, indent=2))


def _kernels() -> Iterator[Kernel]:
    import torch

    for dtype in (torch.bfloat16, torch.float32):
        for rows, slots, width in ((2, 256, 1024), (128, 256, 1024), (128, 256, 1920)):
            yield _modulate(rows, slots, width, dtype)
    for vectors in (680, 64 * 680):
        yield _nearest_code(vectors, 4096, 32)
    for rows in (256, 64 * 256):
        yield _keyed_bits(rows, 4096)
    for laws in (1, 57):
        yield _relaxed_mass(laws, 16384, 1000)
    for dtype in (torch.bfloat16, torch.float32):
        for rows, fed in ((2, 1), (2, 16), (32, 16)):
            yield _decode_attention(rows, 16, fed, 576, 64, dtype)


def _modulate(rows: int, slots: int, width: int, dtype: Any) -> Kernel:
    import torch
    from genstudio_kernels.modulate import modulate_torch
    from genstudio_kernels.modulate_triton import modulate_triton

    x_RnC = torch.randn(rows, slots, width, device="cuda", dtype=dtype)
    scale_RC, shift_RC = torch.randn(rows, 6, width, device="cuda", dtype=dtype)[:, :2].unbind(1)
    return Kernel(
        "modulate",
        f"{rows} x {slots} x {width}",
        str(dtype).removeprefix("torch."),
        modulate_torch,
        modulate_triton,
        (x_RnC, scale_RC, shift_RC, 1e-6),
        bytes=2 * x_RnC.nbytes,
        flops=0,
    )


def _nearest_code(vectors: int, codes: int, width: int) -> Kernel:
    import torch
    from genstudio_kernels.nearest_code import nearest_code_torch
    from genstudio_kernels.nearest_code_triton import nearest_code_triton

    z_NC, table_VC = torch.randn(vectors, width, device="cuda"), torch.randn(codes, width, device="cuda")
    return Kernel(
        "nearest_code",
        f"{vectors} of {codes} x {width}",
        "float32",
        nearest_code_torch,
        nearest_code_triton,
        (z_NC, table_VC),
        bytes=z_NC.nbytes + table_VC.nbytes,
        flops=2 * vectors * codes * width,
    )


def _keyed_bits(rows: int, elements: int) -> Kernel:
    import torch
    from genstudio_kernels.keyed_hash import keyed_bits_torch
    from genstudio_kernels.keyed_hash_triton import keyed_bits_triton

    state_R = torch.arange(rows, device="cuda")
    return Kernel(
        "keyed_bits",
        f"{rows} x {elements}",
        "int64",
        keyed_bits_torch,
        keyed_bits_triton,
        (state_R, elements),
        bytes=8 * rows * elements,
        flops=0,
    )


def _relaxed_mass(laws: int, codes: int, nearest: int) -> Kernel:
    import torch
    from genstudio_kernels.relaxed_mass import relaxed_mass_torch
    from genstudio_kernels.relaxed_mass_triton import relaxed_mass_triton

    p_RV = torch.randn(laws, codes, device="cuda").softmax(-1)
    row_N, id_N = torch.arange(laws, device="cuda"), torch.randint(codes, (laws,), device="cuda")
    nearest_Vk = torch.randint(codes, (codes, nearest), device="cuda", dtype=torch.int32)
    return Kernel(
        "relaxed_mass",
        f"{laws} of {codes}, {nearest} nearest",
        "float32",
        lambda *given: relaxed_mass_torch(*given)[0],
        lambda *given: relaxed_mass_triton(*given)[0],
        (p_RV, row_N, id_N, nearest_Vk, 1.0),
        bytes=laws * nearest * (p_RV.element_size() + nearest_Vk.element_size()),
        flops=laws * nearest,
    )


def _decode_attention(rows: int, heads: int, fed: int, past: int, width: int, dtype: Any) -> Kernel:
    """Lengths are spread evenly; bytes are those of what the rows see."""
    import torch
    from genstudio_kernels.decode_attention import decode_attention_torch
    from genstudio_kernels.decode_attention_triton import decode_attention_triton

    given = {"device": "cuda", "dtype": dtype}
    q_RHnD = torch.randn(rows, heads, fed, width, **given)
    k_RHmD, v_RHmD = torch.randn(2, rows, heads, past + fed, width, **given)
    length_R = torch.linspace(past // 2, past, rows, device="cuda").long()
    open_Rp = torch.arange(past, device="cuda") < length_R[:, None]
    among_1nn = torch.ones(1, fed, fed, dtype=torch.bool, device="cuda").tril()
    entries = int(length_R.sum()) + rows * fed
    return Kernel(
        "decode_attention",
        f"{rows} x {heads} x {fed}, {past} past, {width}",
        str(dtype).removeprefix("torch."),
        decode_attention_torch,
        decode_attention_triton,
        (q_RHnD, k_RHmD, v_RHmD, length_R, open_Rp, among_1nn, width**-0.5),
        bytes=2 * (q_RHnD.nbytes + entries * heads * width * q_RHnD.element_size()),
        flops=4 * entries * heads * width * fed,
    )


def _measured(kernel: Kernel) -> dict[str, Any]:
    import torch

    ways = {
        "triton": kernel.triton_twin,
        "compiled_torch": torch.compile(kernel.torch_twin),
        "torch": kernel.torch_twin,
    }
    milliseconds = {name: _time(way, kernel.arguments) for name, way in ways.items()}
    seconds = milliseconds["triton"] / 1e3
    return {
        "name": kernel.name,
        "shape": kernel.shape,
        "dtype": kernel.dtype,
        "milliseconds": milliseconds,
        "times_as_fast_as_compiled": milliseconds["compiled_torch"] / milliseconds["triton"],
        "bytes_per_second": kernel.bytes / seconds,
        "flops_per_second": kernel.flops / seconds,
        **_errors(kernel),
    }


def _time(way: Callable[..., "Tensor"], arguments: tuple[Any, ...]) -> float:
    from triton.testing import do_bench

    with_arguments: Callable[[], Tensor] = lambda: way(*arguments)  # noqa: E731
    return float(do_bench(with_arguments, return_mode="median"))


def _errors(kernel: Kernel) -> dict[str, float]:
    """The largest difference and the share of values that differ at all."""
    ours, reference = kernel.triton_twin(*kernel.arguments), kernel.torch_twin(*kernel.arguments)
    return {
        "largest_difference": float((ours.double() - reference.double()).abs().max()),
        "share_different": float((ours != reference).double().mean()),
    }


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
