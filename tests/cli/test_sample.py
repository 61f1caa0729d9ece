"""`genstudio sample` from flags to files: names, metadata, replay, previews, JSON, and what it refuses."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genstudio.errors import Exit
from genstudio.media.png import read_spec
from genstudio.releases import catalogue, weights
from genstudio.studio import Studio
from tests.releases import tiny
from tests.support import genstudio, torchrun


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_every_class_once_and_a_grid(tiny_var: str, tmp_path: Path) -> None:
    ran = genstudio("sample", tiny_var, "-o", tmp_path, "--json")
    result = json.loads(ran.out)
    assert ran.code == Exit.OK and ran.err == ""
    assert [entry["label"] for entry in result["pictures"]] == list(range(10))
    assert [entry["seed"] for entry in result["pictures"]] == list(range(10))
    assert Path(result["grid"]).is_file()
    assert pixels(tmp_path / tiny_var / "003-000003.png").shape == (8, 8, 3)


def test_the_file_holds_the_run_and_makes_it_again(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-c", "2,5", "-n", "3", "--seed", "40", "--batch", "4", "-o", tmp_path)
    made = sorted((tmp_path / tiny_var).glob("0*.png"))
    assert [path.stem for path in made] == [
        "002-000040",
        "002-000041",
        "002-000042",
        "005-000043",
        "005-000044",
        "005-000045",
    ]
    for path in made:
        again = tmp_path / "again"
        result = json.loads(genstudio("sample", "--from", path, "-o", again, "--json").out)
        assert len(result["pictures"]) == 1
        assert np.array_equal(pixels(path), pixels(Path(result["pictures"][0]["file"])))


def test_a_replay_takes_the_number_type_of_the_file(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-c", "3", "--dtype", "bf16", "-o", tmp_path)
    source = tmp_path / tiny_var / "003-000000.png"
    result = genstudio("sample", "--from", source, "-o", tmp_path / "b", "--json").data
    again = Path(result["pictures"][0]["file"])
    assert read_spec(again)["dtype"] == "bfloat16"
    assert np.array_equal(pixels(source), pixels(again))


def test_a_model_given_by_folder_is_found_again_from_anywhere(
    tiny_var: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "models" / tiny_var).rename(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert genstudio("sample", "mine", "-c", "1", "-o", tmp_path / "o").code == Exit.OK
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ran = genstudio("sample", "--from", tmp_path / "o" / tiny_var / "001-000000.png", "--json")
    assert ran.code == Exit.OK and "Not as when" not in ran.err


def test_a_replay_by_other_weights_says_so(tiny_var: str, tmp_path: Path, home: Path) -> None:
    genstudio("sample", tiny_var, "-c", "1", "-o", tmp_path)
    release = catalogue.find(tiny_var)
    weights.save_release(home / "models" / tiny_var, tiny.network(release.config, seed=5), release)
    ran = genstudio("sample", "--from", tmp_path / tiny_var / "001-000000.png", "-o", tmp_path / "b")
    assert ran.code == Exit.OK and "Not as when the file was made: tiny-var." in ran.err


def test_a_grid_makes_all_of_its_pictures_again(tiny_var: str, tmp_path: Path) -> None:
    first = json.loads(genstudio("sample", tiny_var, "-n", "6", "--batch", "4", "-o", tmp_path, "--json").out)
    again = json.loads(genstudio("sample", "--from", first["grid"], "-o", tmp_path / "b", "--json").out)
    assert np.array_equal(pixels(Path(first["grid"])), pixels(Path(again["grid"])))


def test_a_replayed_picture_replays(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-n", "5", "--batch", "5", "-o", tmp_path)
    source = tmp_path / tiny_var / "004-000002.png"
    for turn in ("a", "b"):
        result = json.loads(genstudio("sample", "--from", source, "-o", tmp_path / turn, "--json").out)
        again = Path(result["pictures"][0]["file"])
        assert np.array_equal(pixels(source), pixels(again))
        source = again


def test_the_metadata_names_all_that_matters(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-c", "7", "--cfg", "3", "--seed", "9", "-o", tmp_path)
    spec = read_spec(tmp_path / tiny_var / "007-000009.png")
    assert spec["model"] == tiny_var
    assert spec["pictures"] == [[7, 9]]
    assert spec["recipe"]["guidance"]["cfg"] == 3.0
    assert set(spec["weights"]) == {"tiny-var", "tiny-vq"}
    assert all(len(digest) == 64 for digest in spec["weights"].values())
    assert spec["versions"]["torch"]
    with Image.open(tmp_path / tiny_var / "007-000009.png") as image:
        assert "tiny-var" in image.info["parameters"]


def test_one_preview_per_scale_and_picture(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-c", "1,2", "-o", tmp_path / "o", "--preview", tmp_path / "steps")
    names = sorted(path.name for path in (tmp_path / "steps").iterdir())
    assert names == [f"{c:03d}-{c - 1:06d}-{s:02d}.png" for c in (1, 2) for s in range(3)]
    last = pixels(tmp_path / "steps" / "001-000000-02.png")
    assert np.array_equal(last, pixels(tmp_path / "o" / tiny_var / "001-000000.png"))


def test_taken_names_get_a_counter(tiny_var: str, tmp_path: Path) -> None:
    for _ in range(2):
        genstudio("sample", tiny_var, "-c", "1", "-o", tmp_path)
    assert (tmp_path / tiny_var / "001-000000-1.png").is_file()


def test_a_dry_run_writes_and_loads_nothing(tiny_var: str, tmp_path: Path, home: Path) -> None:
    (home / "models" / tiny_var / weights.MODEL).unlink()
    ran = genstudio("sample", tiny_var, "-c", "1", "--dry-run", "-o", tmp_path / "o")
    assert json.loads(ran.out)["pictures"] == [[1, 0]]
    assert not (tmp_path / "o").exists()


def test_python_and_command_line_make_the_same_picture(tiny_var: str, tmp_path: Path) -> None:
    import genstudio as package

    genstudio("sample", tiny_var, "-c", "4", "--seed", "11", "-o", tmp_path)
    (picture,) = package.load(tiny_var).sample(classes=4, n=1, seed=11)
    assert np.array_equal(pixels(tmp_path / tiny_var / "004-000011.png"), np.asarray(picture.image))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tiny-vra"], Exit.USAGE, ["tiny-vra", "tiny-var"]),
        (["tiny-var", "-c", "11"], Exit.USAGE, ["out of range", "0 to 9"]),
        (["tiny-var", "-c", "cat"], Exit.USAGE, ["'cat'"]),
        (["tiny-vq"], Exit.USAGE, ["makes no pictures"]),
        (["tiny-var", "--seed", "x"], Exit.USAGE, ["seed"]),
        (["tiny-var", "--steps", "4"], Exit.USAGE, ["steps"]),
        (["tiny-var", "--top-p", "2"], Exit.USAGE, ["--top-p"]),
        (["tiny-var", "--batch", "0"], Exit.USAGE, ["--batch"]),
        (["tiny-var", "--no-such-flag"], Exit.USAGE, ["no-such-flag"]),
        (["tiny-var", "--device", "cuda"], Exit.USAGE, ["cuda"]),
        (["tiny-var", "--kernels", "triton"], Exit.USAGE, ["Triton", "--kernels torch"]),
        (["--from", "nowhere.png"], Exit.USAGE, ["nowhere.png"]),
        (["var-d16"], Exit.WEIGHTS, ["not on this machine", "models import"]),
    ],
)
def test_mistakes_are_two_lines_and_a_code(
    tiny_var: str, tmp_path: Path, arguments: list[str], code: Exit, words: list[str]
) -> None:
    ran = genstudio("sample", *arguments, "-o", tmp_path / "o")
    assert ran.code == code
    assert ran.out == "" and len(ran.err.strip().splitlines()) == 2
    assert all(word in ran.err for word in words), ran.err
    as_json = genstudio("sample", *arguments, "-o", tmp_path / "o", "--json")
    assert json.loads(as_json.out)["error"]["code"] == code
    assert not list((tmp_path / "o").rglob("*.png")) if (tmp_path / "o").exists() else True


def test_truncated_weights_are_named(tiny_var: str, tmp_path: Path, home: Path) -> None:
    file = home / "models" / tiny_var / weights.MODEL
    file.write_bytes(file.read_bytes()[:-100])
    ran = genstudio("sample", tiny_var, "-o", tmp_path)
    assert ran.code == Exit.WEIGHTS
    assert str(file) in ran.err and "truncated" in ran.err


def test_a_picture_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    ran = genstudio("sample", "--from", tmp_path / "plain.png")
    assert ran.code == Exit.USAGE and "how it was made" in ran.err


def test_an_output_that_cannot_be_written(tiny_var: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = genstudio("sample", tiny_var, "-c", "1", "-o", tmp_path / "file" / "out")
    assert ran.code == Exit.USAGE and "cannot be written" in ran.err


def test_a_full_disk_leaves_no_half_picture(
    tiny_var: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    ran = genstudio("sample", tiny_var, "-c", "1", "-o", tmp_path / "o")
    assert ran.code == Exit.USAGE and "disk is full" in ran.err
    assert [path for path in (tmp_path / "o").rglob("*") if path.is_file()] == []


def test_ctrl_c_keeps_what_was_finished(
    tiny_var: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = Studio.decode, []

    def interrupted(self: Studio, codes: object, sampling: object, side: object) -> object:
        if len(decoded) == 2:
            raise KeyboardInterrupt
        decoded.append(codes)
        return decode(self, codes, sampling, side)

    monkeypatch.setattr(Studio, "decode", interrupted)
    ran = genstudio("sample", tiny_var, "-n", "9", "--batch", "3", "-o", tmp_path)
    assert ran.code == Exit.INTERRUPTED
    assert len(list((tmp_path / tiny_var).glob("*.png"))) == 6
    assert "Traceback" not in ran.err and len(ran.err.strip().splitlines()) >= 2


def test_too_little_memory_is_told(tiny_var: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(self: Studio, codes: object, sampling: object, side: object) -> object:
        raise MemoryError

    monkeypatch.setattr(Studio, "decode", greedy)
    ran = genstudio("sample", tiny_var, "-o", tmp_path, "-q")
    assert ran.code == Exit.MEMORY and "--batch" in ran.err


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As torchrun gives to each of its processes; metadata says it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_make_what_one_makes(tiny_var: str, home: Path, tmp_path: Path) -> None:
    """The same pixels and metadata under the same names; one grid of all, one report; nothing overwritten."""
    words = ("sample", tiny_var, "-n", 10, "--seed", 3, "--batch", 2, "--animate", "gif", "--json")
    alone = genstudio(*words, "-o", tmp_path / "one").data
    (tmp_path / "two" / tiny_var).mkdir(parents=True)
    taken = tmp_path / "two" / tiny_var / "004-000007.png"
    taken.write_bytes(b"older")
    ran = torchrun("-m", "genstudio", *words, "-o", tmp_path / "two", home=home)
    assert ran.returncode == 0, ran.stderr
    together = json.loads(ran.stdout)
    assert [one["seed"] for one in together["pictures"]] == [one["seed"] for one in alone["pictures"]]
    for one, two in zip(alone["pictures"], together["pictures"], strict=True):
        first, second = Path(one["file"]), Path(two["file"])
        assert np.array_equal(pixels(first), pixels(second)) and read_spec(first) == read_spec(second)
        assert second.name == ("004-000007-1.png" if first.name == taken.name else first.name)
        assert Path(two["animation"]).read_bytes() == Path(one["animation"]).read_bytes()
    for key in ("grid", "grid_animation"):
        assert Path(alone[key]).read_bytes() == Path(together[key]).read_bytes()
    assert taken.read_bytes() == b"older"
    assert len(list(taken.parent.iterdir())) == 23  # pictures and animations, two grids, the older file
