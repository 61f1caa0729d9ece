"""What a run says about itself: means between two lines, a JSONL file, TensorBoard where it is asked for.

Sums are part of the run's state, so that a resumed run writes the lines that an unbroken one would have.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import torch
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.files import write_text
from genstudio.processes import Processes
from genstudio.training.standing import METRICS


class Window:
    """Sums since the last line; kept on the device, so that adding never waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}

    def add(self, parts: Mapping[str, Tensor], counts: Mapping[str, Tensor], weight: float) -> None:
        """Add one pass that is `weight` of a step. Parts that not every pass has are averaged over theirs."""
        for name, value in parts.items():
            _add(self.sums, name, value.detach().float() * weight)
            self.weights[name] = self.weights.get(name, 0.0) + weight
        for name, value in counts.items():
            _add(self.counts, name, value.detach())

    def meet(self, processes: Processes) -> None:
        """Take the parts of all processes for this one's: parts are averaged, counts summed."""
        processes.mean_(list(self.sums.values()))
        processes.sum_(list(self.counts.values()))

    def merge(self, other: "Window") -> None:
        """Add what another window holds."""
        for name, value in other.sums.items():
            _add(self.sums, name, value)
            self.weights[name] = self.weights.get(name, 0.0) + other.weights[name]
        for name, value in other.counts.items():
            _add(self.counts, name, value)

    def finite(self) -> bool:
        """Whether every part is a number; waits for the device."""
        return bool(torch.stack([value.isfinite().all() for value in self.sums.values()]).all())

    def means(self) -> dict[str, Tensor]:
        """Weighted means of all parts."""
        return {name: value / self.weights[name] for name, value in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """Everything, as tensors and plain values."""
        return {"sums": self.sums, "counts": self.counts, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.sums, self.counts, self.weights = state["sums"], state["counts"], state["weights"]


class Board(Protocol):
    """The part of TensorBoard's writer that a run uses."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...
    def close(self) -> None: ...


OpenBoard = Callable[[Path, int], Board]


class Silence:
    """The log of a process that does not speak."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing was opened."""


class Log:
    """The metrics file of a run, one JSON object per line, and an optional TensorBoard."""

    def __init__(self, folder: Path, step: int, board: OpenBoard | None = None) -> None:
        """Open the file and forget lines after `step`, and final lines: they will be written again."""
        path = folder / METRICS
        kept = [line for line in _lines(path) if _belongs(line, step)]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self._board = board(folder, step) if board else None

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record; it holds "step" and numbers or lists of numbers."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._board is not None:
            for tag, value in record.items():
                values = value if isinstance(value, list) else [value]
                for i, one in enumerate(values):
                    self._board.add_scalar(f"{tag}/{i}" if len(values) > 1 else tag, one, record["step"])

    def close(self) -> None:
        """Close the file and the board."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def tensorboard() -> OpenBoard:
    """What opens TensorBoard's writer at a step. Raises GenstudioError where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise GenstudioError(
            "TensorBoard is not installed.", "Run: pip install 'genstudio[tb]', or leave --tensorboard away."
        ) from error
    return lambda folder, step: SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


def plain(values: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tensors as numbers and lists, rounded to what a reader needs."""
    return {name: _rounded(value.tolist()) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    return [_rounded(one) for one in value] if isinstance(value, list) else float(f"{value:.6g}")


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _belongs(line: str, step: int) -> bool:
    """A line of the run up to `step`; the last line of a killed run may be cut short."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return False
    return bool(record["step"] <= step and not any(name.startswith("test_") for name in record))
