"""Fixture folders: numbers made by an official code, and the comparison of ours with them.

A folder holds `meta.json`, `io.safetensors` and mostly `weights.safetensors`. Roles say what a tensor is:
inputs and draws are fed to a replay; outputs are compared and cannot be read by it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.errors import GenstudioError

FED = ("input", "draw")


class Verdict(NamedTuple):
    """One output tensor: the largest absolute error, what is allowed, and whether it holds."""

    name: str
    error: float
    allowed: float
    fine: bool
    remark: str = ""


class Fixture:
    """One folder. Raises GenstudioError when it is not of that form."""

    def __init__(self, folder: Path) -> None:
        try:
            self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
            self._io = load_file(folder / "io.safetensors")
        except (OSError, ValueError) as error:
            raise GenstudioError(
                f"{folder} is no fixture folder: {error}.", "Give a folder with meta.json and io.safetensors."
            ) from error
        self.folder = folder

    @property
    def method(self) -> str:
        return str(self.meta["method"])

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors that have to be reproduced."""
        return [name for name, entry in self.meta["io"].items() if entry["role"] == "output"]

    def fed(self, name: str) -> Tensor:
        """An input or a recorded draw. Raises KeyError for anything else, outputs above all."""
        if self.meta["io"][name]["role"] not in FED:
            raise KeyError(f"{name} is not fed to a replay")
        return self._io[name]

    def weights(self, prefix: str = "") -> dict[str, Tensor]:
        """The official tensors whose names begin with `prefix`, without it."""
        tensors = load_file(self.folder / "weights.safetensors")
        return {
            name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
        }

    def sibling(self, method: str) -> "Fixture":
        """The folder named in the meta's `siblings` whose method begins so, beside this one or below
        $GENSTUDIO_PARITY. Raises GenstudioError where it is not there."""
        roots = (self.folder.resolve().parent, Path(os.environ.get("GENSTUDIO_PARITY", "")))
        places = [root / name for root in roots for name in self.meta.get("siblings", ())]
        for other in (Fixture(place) for place in places if (place / "meta.json").is_file()):
            if other.method.startswith(method):
                return other
        raise GenstudioError(
            f"{self.folder.name} needs a fixture of the {method}, which is not there.",
            f"Put {' or '.join(self.meta.get('siblings', ())) or 'it'} beside it, or set GENSTUDIO_PARITY.",
        )

    def compare(self, made: Mapping[str, Tensor]) -> list[Verdict]:
        """A verdict for every output that the replay made; outputs without one are not covered."""
        return [
            judge(name, made[name], self._io[name], self.meta["io"][name])
            for name in self.outputs
            if name in made
        ]


def judge(name: str, ours: Tensor, official: Tensor, entry: Mapping[str, Any]) -> Verdict:
    """Floats within `max_abs`, everything else equal, unless `compare` names another rule."""
    allowed = float(entry.get("max_abs", 0))
    rule = entry.get("compare", "abs" if official.is_floating_point() else "exact")
    if ours.shape != official.shape:
        return Verdict(name, float("inf"), allowed, False, f"{list(ours.shape)}, not {list(official.shape)}")
    if rule == "uint8-off-by-one":
        allowed = max(allowed, 1.0)
    elif rule not in ("abs", "exact"):
        return Verdict(name, float("nan"), allowed, False, f"no rule {rule!r} here")
    error = _largest_difference(ours, official)
    return Verdict(name, error, allowed, error <= allowed)


def _largest_difference(ours: Tensor, official: Tensor) -> float:
    """Equal entries count as 0 (infinities too); a NaN never holds."""
    difference = (ours.double() - official.double()).abs()
    difference = torch.where(ours.double() == official.double(), 0.0, difference)
    if bool(difference.isnan().any()):
        return float("nan")
    return float(difference.max()) if difference.numel() else 0.0
