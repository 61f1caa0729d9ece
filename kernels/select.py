"""Which twin of a kernel runs: chosen in one place, so that `doctor` can say it and a flag can force it."""

import importlib.util
import os
from typing import Literal

Kernels = Literal["torch", "triton"]
TWINS = (
    "decode_attention",
    "keyed_bits",
    "modulate",
    "nearest_code",
    "relaxed_mass",
)  # custom ops genstudio::NAME


def chosen(device: str, forced: Kernels | None = None) -> Kernels:
    """The twin for a device type ("cpu", "cuda"): the forced one, else Triton on a GPU where it is installed.

    Raises ValueError where Triton is forced but cannot run: it is not installed, or the device is not a GPU
    and Triton's interpreter (TRITON_INTERPRET=1) is off.
    """
    if forced == "triton" and not _triton_runs(device):
        raise ValueError(f"Triton kernels cannot run on {device} here.")
    return forced or ("triton" if device == "cuda" and _triton_runs(device) else "torch")


def _triton_runs(device: str) -> bool:
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return importlib.util.find_spec("triton") is not None and (device == "cuda" or interpreted)
