"""`genstudio doctor`: everything that a bug report needs, and whether this machine has what runs need."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from genstudio.cli.console import emit
from genstudio.cli.options import Json
from genstudio.cli.table import show_facts
from genstudio.errors import GenstudioError

OPTIONAL = ("torchvision", "triton", "pillow", "huggingface_hub", "tensorboard")


def doctor(json_: Json = False) -> None:
    """Say what this machine has: versions, devices, kernels, folders, data.

    genstudio doctor

    genstudio doctor --json > report.json
    """
    report: dict[str, dict[str, Any]] = {
        "versions": _versions(),
        "machine": _machine(),
        "devices": _devices(),
        "folders": _folders(),
        "hub": _hub(),
        "data": _data(),
    }
    if json_:
        return emit(report)
    for section, facts in report.items():
        print(f"{section}:")
        show_facts({f"  {name}": _text(value) for name, value in facts.items()})
    return None


def _versions() -> dict[str, str]:
    from genstudio.runtime import versions

    return versions() | {name: _version(name) for name in OPTIONAL}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, Any]:
    import psutil
    import torch

    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _devices() -> dict[str, Any]:
    """The device that `auto` means, the GPUs, which twin of the kernels runs on each device type, and what
    has twins."""
    import torch
    from genstudio_kernels.select import TWINS, chosen

    from genstudio.runtime import Runtime

    auto = Runtime.choose()
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "auto": auto.describe(),
        "gpus": [f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB" for gpu in gpus],
        "kernels": {kind: chosen(kind) for kind in ("cpu", *(("cuda",) if gpus else ()))},
        "twins": list(TWINS),
    }


def _folders() -> dict[str, Any]:
    from genstudio.files import free_bytes, home
    from genstudio.releases.catalogue import bundled_root

    kept = home()
    return {
        "home": str(kept),
        "models_bytes": _bytes_below(kept / "models"),
        "codes_bytes": _bytes_below(kept / "codes"),
        "disk_free_bytes": free_bytes(kept),
        "bundled": str(bundled_root() or "missing"),
    }


def _hub() -> dict[str, Any]:
    """Where `models pull` would look, as the environment says; nothing is contacted."""
    from huggingface_hub import constants, get_token

    return {
        "cache": constants.HF_HUB_CACHE,
        "endpoint": constants.ENDPOINT,
        "offline": "yes" if constants.HF_HUB_OFFLINE else "no",
        "token": "yes" if get_token() else "no",
    }


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _data() -> dict[str, str]:
    """Which data sets a training or evaluation would find, or why not."""
    return {name: _found(name) for name in ("fashion", "emoji")}


def _found(name: str) -> str:
    from genstudio.data.sources import open_pictures

    try:
        count = len(open_pictures(name, "test", 32, 3))
    except GenstudioError as error:
        return f"missing. {error.message} {error.hint}"
    return f"{count:,} test pictures"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
