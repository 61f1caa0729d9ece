"""Where and how a run computes: device, number type, threads; chosen once, from flags and the machine.

A value without torch, so that a command can make one, print it and store it in metadata; torch is asked only
while choosing. `auto` means the best device present, float32 on a CPU and bfloat16 on a GPU that has it.
"""

import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, get_args

from genstudio.errors import GenstudioError

if TYPE_CHECKING:
    import torch

Dtype = Literal["fp32", "bf16", "fp16"]

_TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, slots=True)
class Runtime:
    """`device` as torch writes it ("cpu", "cuda", "cuda:1", "mps"); `threads` 0 leaves torch's own number."""

    device: str = "cpu"
    dtype: Dtype = "fp32"
    threads: int = 0

    @property
    def torch_dtype(self) -> "torch.dtype":
        """The number type that weights and activations have."""
        import torch

        found: torch.dtype = getattr(torch, _TORCH_NAMES[self.dtype])
        return found

    def start(self) -> None:
        """Give torch the threads of this run; once per process, before anything is computed."""
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)


def choose(device: str = "auto", dtype: str = "auto", threads: int = 0) -> Runtime:
    """The runtime that flags ask for. Raises GenstudioError for what this machine does not have."""
    if threads < 0:
        raise GenstudioError(
            f"{threads} threads are not possible.", "Give 1 or more, or 0 for torch's choice."
        )
    found = _device(device)
    return Runtime(found, _dtype(dtype, found), threads)


def versions() -> dict[str, str]:
    """What a run depends on, for metadata and bug reports."""
    names = ("genstudio", "torch", "numpy", "safetensors")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _device(wanted: str) -> str:
    import torch

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", wanted):
        raise GenstudioError(f"There is no device {wanted!r}.", "Give auto, cpu, cuda, cuda:N or mps.")
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in has.items() if there)
    kind, _, number = wanted.partition(":")
    if not has[kind] or (number and int(number) >= torch.cuda.device_count()):
        raise GenstudioError(f"This machine has no {wanted} device for torch.", "Give --device cpu or auto.")
    return wanted


def _dtype(wanted: str, device: str) -> Dtype:
    if wanted == "auto":
        return "bf16" if device.startswith("cuda") and _has_bf16() else "fp32"
    for known in get_args(Dtype):
        if wanted == known:
            return _checked(known, device)
    raise GenstudioError(f"There is no number type {wanted!r}.", "Give auto, fp32, bf16 or fp16.")


def _checked(dtype: Dtype, device: str) -> Dtype:
    if dtype == "fp16" and device == "cpu":
        raise GenstudioError("fp16 needs a GPU.", "Give --dtype fp32 or bf16 on a CPU.")
    if dtype == "bf16" and device.startswith("cuda") and not _has_bf16():
        raise GenstudioError("This GPU has no bf16.", "Give --dtype fp16 or fp32.")
    return dtype


def _has_bf16() -> bool:
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)
