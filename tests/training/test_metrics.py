"""The metrics of a run: weighted means, a file that forgets what was not saved."""

import json
import sys
from pathlib import Path

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.training.metrics import Log, Window, plain, tensorboard


def test_means_weigh_passes_and_counts_add_up() -> None:
    window = Window()
    for value in (1.0, 2.0, 6.0):
        window.add({"loss": torch.tensor(value)}, {"codes": torch.tensor([1, 2])}, 0.5)
    window.add({"late": torch.tensor([1.0, 3.0])}, {}, 1.0)
    assert plain(window.means()) == {"loss": 3.0, "late": [1.0, 3.0]}
    assert window.counts["codes"].tolist() == [3, 6]


def test_a_window_goes_on_after_a_restart() -> None:
    whole, half = Window(), Window()
    for step in range(4):
        whole.add({"loss": torch.tensor(float(step))}, {}, 1.0)
    for step in range(2):
        half.add({"loss": torch.tensor(float(step))}, {}, 1.0)
    resumed = Window()
    resumed.restore(half.state())
    for step in range(2, 4):
        resumed.add({"loss": torch.tensor(float(step))}, {}, 1.0)
    assert plain(resumed.means()) == plain(whole.means())


def test_lines_after_the_checkpoint_and_cut_lines_are_forgotten(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for step in (5, 10, 15):
        log.write({"step": step, "loss": 1.0})
    log.write({"step": 15, "test_loss": 2.0})
    log.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 20, "lo')
    Log(tmp_path, 15).close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5, 10, 15]
    Log(tmp_path, 10).close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5, 10]


def test_tensorboard_is_asked_for_by_name_when_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(GenstudioError) as caught:
        tensorboard()
    assert "genstudio[tb]" in caught.value.hint


def test_tensorboard_gets_numbers_and_lists(tmp_path: Path) -> None:
    seen: list[tuple[str, float, int]] = []

    class Board:
        def add_scalar(self, tag: str, value: float, step: int) -> None:
            seen.append((tag, value, step))

        def close(self) -> None:
            seen.append(("closed", 0.0, 0))

    log = Log(tmp_path, 0, lambda folder, step: Board())
    log.write({"step": 4, "loss": 1.5, "use": [0.5, 0.25]})
    log.close()
    assert ("loss", 1.5, 4) in seen and ("use/1", 0.25, 4) in seen and seen[-1][0] == "closed"
