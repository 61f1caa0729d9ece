"""Two processes train as one does: the same losses and weights, one set of files, a stop behind one step.

Two processes group sums otherwise than one, so float32 agrees to about 1e-6. Two things make more of such a
difference: a code may fall to the other side of a tie, and a critic and its tokenizer drive each other. So
tokenizers learn slowly here, and the critic comes late. All runs share one start of two processes.
"""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from genstudio.errors import Exit, GenstudioError
from genstudio.processes import Processes
from genstudio.releases import catalogue, weights
from genstudio.training.prepare import prepare
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.run import train
from tests.support import torchrun
from tests.training import tiny
from tests.training.tiny import lines, weights_hash
from tests.training.together import CPU, notes, pressing, train_noting

STEPS, STOPPED = 20, 9
RELATIVE = 1e-5
LONG = {"run__steps": STEPS, "run__batch": 8, "save__every": 7, "sample__every": 10}
SMALL = ("--set", "network.width=8", "--steps", "2", "--batch", "4", "--device", "cpu", "--json")
LATE_CRITIC = {"objective__adversarial": 0.1, "objective__adversarial_start": 0.75}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tokenizer": (tiny.VQ, {"run__seed": 1, "optimizer__lr": 3e-5, **LATE_CRITIC}),
    "generator": (tiny.VAR, {"network__depth": 2}),
    "classifier": (tiny.CLASSIFIER, {"optimizer__lr": 3e-4}),
}


def recipe(kind: str, pictures: Path, **changes: Any) -> TrainingRecipe:
    tables, own = KINDS[kind]
    return tiny.recipe(tables, pictures, **{**LONG, **own, **changes})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs of one and of two processes left, each in a folder named for how and what."""
    root = tmp_path_factory.mktemp("together")
    pictures = tiny.write_pictures(root / "pictures")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GENSTUDIO_HOME", str(root / "home"))
        train(tiny.recipe(tiny.VQ, pictures, run__steps=2), root / "home" / "models" / "tiny-vq", CPU)
        for kind in ("generator", "classifier"):
            stopped_alone(recipe(kind, pictures), root / f"joined-{kind}")
        words = ("-m", "tests.training.together", json.dumps(jobs(root, pictures)))
        ran = torchrun(*words, home=root / "home")
        assert ran.returncode == 0, ran.stderr
        for kind in KINDS:
            train_noting(recipe(kind, pictures), root / f"one-{kind}")
            train_noting(recipe(kind, pictures, run__accumulate=4), root / f"passes-{kind}")
        train_noting(recipe("generator", pictures), root / "left-generator")
    return root


def jobs(root: Path, pictures: Path) -> list[dict[str, Any]]:
    """The runs of two processes; "sharded" ones keep rows of the weights."""

    def job(name: str, press: tuple[int, str] | None = None, **changes: Any) -> dict[str, Any]:
        wanted = recipe(name.split("-")[-1], pictures, **changes).model_dump(mode="json")
        pressed = {"step": STOPPED, "rank": press[0], "signal": press[1]} if press else None
        return {"folder": str(root / name), "recipe": wanted, "press": pressed}

    sharded = {"run__shard": True}
    command = [
        "train",
        "fashion-features",
        *SMALL,
        "--data",
        f"fashion:{pictures}",
        "-o",
        str(root / "command"),
    ]
    return [
        *(job(f"two-{kind}") for kind in KINDS),
        *(job(f"sharded-{kind}", **sharded) for kind in KINDS),
        job("stopped-two-tokenizer", (1, "SIGTERM")),
        job("stopped-two-tokenizer"),
        job("stopped-sharded-generator", (0, "SIGINT"), **sharded),
        job("stopped-sharded-generator", **sharded),
        job("left-generator", (1, "SIGINT"), **sharded),
        job("joined-classifier"),
        job("joined-generator", **sharded),
        {"folder": str(root / "command"), "words": command},
    ]


def stopped_alone(recipe: TrainingRecipe, folder: Path) -> None:
    press = pressing({"step": STOPPED, "rank": 0, "signal": "SIGTERM"}, Processes())
    with pytest.raises(GenstudioError, match=f"Interrupted at step {STOPPED}"):
        train_noting(recipe, folder, press)


def difference(first: Any, second: Any) -> float:
    """The largest relative difference of numbers or of lists of numbers."""
    if isinstance(first, list):
        return max(map(difference, first, second))
    return abs(first - second) / max(abs(first), 1e-12)


def largest(one: Path, other: Path, steps: int = STEPS) -> float:
    """The largest difference of any loss in the first steps; codes have to be chosen as often."""
    pairs = list(zip(notes(one)[:steps], notes(other)[:steps], strict=True))
    assert len(pairs) == steps and all(a.keys() == b.keys() for a, b in pairs)
    assert all(a.get("codes") == b.get("codes") for a, b in pairs)
    parts = [(a[name], b[name]) for a, b in pairs for name in a.keys() - {"codes", "grad_norm"}]
    return max(difference(*pair) for pair in parts)


def released(folder: Path) -> dict[str, torch.Tensor]:
    return weights.load(catalogue.find(str(folder))).state_dict()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["two", "sharded"])
def test_two_processes_have_the_losses_of_one(way: str, kind: str, place: Path) -> None:
    assert largest(place / f"one-{kind}", place / f"{way}-{kind}") < RELATIVE


@pytest.mark.parametrize("kind", KINDS)
def test_four_passes_have_the_losses_of_one(kind: str, place: Path) -> None:
    """Until the critic comes: its adaptive weight is each pass's own."""
    steps = STEPS - 5 if kind == "tokenizer" else STEPS
    assert largest(place / f"one-{kind}", place / f"passes-{kind}", steps) < RELATIVE


def test_the_comparison_would_notice_gradients_of_a_part(place: Path) -> None:
    """As if the first process had learned from its own half of every step."""
    train_noting(recipe("classifier", place / "pictures", run__batch=4), place / "half")
    assert largest(place / "one-classifier", place / "half") > 100 * RELATIVE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["two", "sharded"])
def test_two_processes_release_the_weights_of_one(way: str, kind: str, place: Path) -> None:
    """Adam moves a weight whose gradient is rounding by up to lr a step, wherever that points."""
    alone, together = (released(place / f"{name}-{kind}") for name in ("one", way))
    rate = recipe(kind, place / "pictures").optimizer.lr
    assert alone.keys() == together.keys()
    apart = torch.cat([(together[name] - value).abs().flatten() for name, value in alone.items()])
    assert apart.max() < 2 * rate * STEPS and (apart < 0.01 * rate).float().mean() > 0.95


@pytest.mark.parametrize("name", ["two-tokenizer", "sharded-generator"])
def test_all_stop_behind_one_step_and_go_on_bit_for_bit(name: str, place: Path) -> None:
    folder = place / f"stopped-{name}"
    for rank in range(2):
        said = (folder / f"said-{rank}.txt").read_text().splitlines()
        assert said[0].startswith(f"130 Interrupted at step {STOPPED} of {STEPS}; ") and said[1] == "done"
    assert weights_hash(folder) == weights_hash(place / name)
    assert lines(folder) == lines(place / name)


@pytest.mark.parametrize("name", ["left-generator", "joined-classifier", "joined-generator"])
def test_a_run_goes_on_with_another_number_of_processes(name: str, place: Path) -> None:
    """Left by two with rows of the weights; joined by two with all of them, and by two with rows."""
    assert largest(place / f"one-{name.split('-')[1]}", place / name) < RELATIVE


def test_checkpoints_are_whole_and_alike_whoever_wrote_them(place: Path) -> None:
    one, two, sharded = (
        torch.load(place / f"{way}-generator" / "checkpoint.pt", weights_only=True)
        for way in ("one", "two", "sharded")
    )
    assert shapes(one) == shapes(two) == shapes(sharded)


def test_the_first_process_alone_encodes_draws_and_writes(place: Path) -> None:
    """(The second one is not able to, in these runs.)"""
    assert len(list((place / "home" / "codes").iterdir())) == 2  # training and test pictures
    alone, two, sharded = (
        sorted(str(path.relative_to(place / run)) for path in (place / run).rglob("*.*"))
        for run in ("one-generator", "two-generator", "sharded-generator")
    )
    assert two == sharded == sorted([*alone, "said-0.txt", "said-1.txt"])
    assert [name for name in two if name.endswith(".png")] == [
        "samples/step-0000010.png",
        "samples/step-0000020.png",
    ]


def test_the_first_process_alone_speaks(place: Path) -> None:
    """`genstudio train --json` in both processes."""
    first, second = (json.loads((place / "command" / f"ran-{rank}.json").read_text()) for rank in range(2))
    assert json.loads(first["out"])["steps"] == 2 and first["code"] == 0
    assert second == {"code": 0, "out": "", "err": ""}


def test_a_step_that_does_not_split_is_refused_before_the_work(pictures: Path) -> None:
    with pytest.raises(GenstudioError, match=r"8 pictures .* over 3 processes") as caught:
        prepare(recipe("classifier", pictures), CPU, lambda _: None, Processes(0, 3))
    assert caught.value.code == Exit.USAGE and "that 3 divides" in caught.value.hint


def test_sigterm_stops_a_run_of_one_process_too(pictures: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopped_alone(recipe("classifier", pictures), tmp_path)
    assert (tmp_path / "checkpoint.pt").is_file() and signal.getsignal(signal.SIGTERM) == before


def shapes(value: Any) -> Any:
    """A nest with tensors replaced by their types and shapes, and numbers by their types."""
    match value:
        case dict():
            return {key: shapes(inner) for key, inner in value.items()}
        case list() | tuple():
            return [shapes(inner) for inner in value]
        case torch.Tensor():
            return type(value), value.dtype, value.device, value.shape
    return type(value)
