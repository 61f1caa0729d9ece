"""`genstudio eval-fid`: what it reports, what it keeps, and plain words for whatever does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.errors import Exit
from genstudio.media.png import read_spec
from tests.support import Ran, genstudio

COUNT = 45


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures that the tiny judge can look at."""
    folder = tmp_path / "real"
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
    for i, picture in enumerate(levels):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def statistics(pictures: Path, tiny_judge: str) -> Path:
    """Statistics of these pictures, as the command saves them."""
    path = pictures.parent / "real.safetensors"
    ran = genstudio("eval-fid", pictures, "--extractor", tiny_judge, "--save-stats", path)
    assert ran.code == Exit.OK and str(path) in ran.out
    return path


def score(*arguments: object) -> Ran:
    return genstudio("eval-fid", *arguments, "--json")


def test_a_model_without_a_protocol_needs_extractor_and_reference(
    tiny_var: str, tiny_judge: str, statistics: Path
) -> None:
    refused = score(tiny_var)
    assert refused.code == Exit.USAGE and "no published protocol" in refused.data["error"]["message"]
    ran = score(tiny_var, "--extractor", tiny_judge, "--reference", statistics, "-n", COUNT, "--batch", 20)
    assert ran.code == Exit.OK
    found = ran.data
    assert found["samples"] == COUNT and found["plan"]["seed"] == 0
    distance = found["metrics"]["frechet"]
    assert distance["label"] == f"Frechet distance-{COUNT} (tiny-judge)"
    assert distance["low"] <= distance["value"] <= distance["high"] and distance["bias"] is not None
    assert 0 <= found["metrics"]["class_share"]["value"] <= 1
    assert found["deviations"] == ["tiny-var has no published protocol"]
    assert len(found["extractor_weights"]) == 64 and len(found["reference_hash"]) == 64


def test_the_bundled_model_follows_its_protocol_but_for_the_count(home: Path) -> None:
    ran = score("var-fashion", "-n", 40, "--batch", 40)
    assert ran.code == Exit.OK
    assert ran.data["deviations"] == ["samples: 40, not 10,000"]
    keys = {"frechet", "kid", "precision", "recall", "density", "coverage", "class_share"}
    assert ran.data["metrics"].keys() == keys
    assert ran.data["reference"] == "fashion train"


def test_what_was_made_is_said_on_stderr_and_the_table_on_stdout(
    tiny_var: str, tiny_judge: str, statistics: Path
) -> None:
    words = ("-n", 40, "--extractor", tiny_judge, "--reference", statistics, "--cfg", 3)
    ran = genstudio("eval-fid", tiny_var, *words)
    assert ran.code == Exit.OK
    assert "recipe: cfg 3 (plus), top_k 32, not cfg 1.5" in ran.out
    assert "will hold 40 x 16 features in memory" in ran.err
    assert "features in memory" not in ran.out and "SMALL-SAMPLE BIAS" in ran.out


def test_two_folders_and_an_npz(tmp_path: Path, pictures: Path, tiny_judge: str) -> None:
    found = score(pictures, "--reference", pictures, "--extractor", tiny_judge).data
    assert found["metrics"]["frechet"]["value"] == pytest.approx(0, abs=1e-6)
    levels = np.stack([np.asarray(Image.open(path)) for path in sorted(pictures.iterdir())])
    np.savez(tmp_path / "samples.npz", levels)
    other = score(tmp_path / "samples.npz", "--reference", pictures, "--extractor", tiny_judge).data
    assert other["digest"] == found["digest"]
    assert "recipe" not in other["deviations"] and other["reported"] == []


def test_kept_pictures_can_be_made_again(
    tmp_path: Path, tiny_var: str, tiny_judge: str, statistics: Path
) -> None:
    words = (tiny_var, "-n", 20, "--extractor", tiny_judge, "--reference", statistics, "--batch", 10)
    found = score(*words, "--keep", "all", "-o", tmp_path / "kept").data
    files = sorted((tmp_path / "kept" / tiny_var / "pictures").iterdir())
    assert len(files) == 20
    assert read_spec(files[13])["pictures"] == [[3, 13]]
    again = genstudio("sample", "--from", files[13], "-o", tmp_path / "again", "--json").data
    assert np.array_equal(Image.open(again["pictures"][0]["file"]), Image.open(files[13]))
    grid = tmp_path / "kept" / tiny_var / "eval-grid.png"
    assert str(grid) in found["files"] and grid.is_file()


def test_a_resumed_folder_holds_its_result(
    tmp_path: Path, tiny_var: str, tiny_judge: str, statistics: Path
) -> None:
    words = (tiny_var, "--extractor", tiny_judge, "--reference", statistics, "--resume", tmp_path / "run")
    first = score(*words, "-n", 20, "--batch", 10).data
    assert json.loads((tmp_path / "run" / "result.json").read_text())["digest"] == first["digest"]
    ran = genstudio("eval-fid", *words, "-n", 30, "--batch", 10)
    assert ran.code == Exit.OK and "going on: 20 of 30 pictures are there" in ran.err
    other = score(*words, "-n", 20, "--batch", 10, "--seed", 5)
    assert other.code == Exit.USAGE and "holds another run: seed differ" in other.data["error"]["message"]


def test_the_best_of_several_is_a_deviation(tiny_var: str, tiny_judge: str, statistics: Path) -> None:
    words = (tiny_var, "-n", 20, "--extractor", tiny_judge, "--reference", statistics)
    plain = score(*words).data
    best = score(*words, "--best-of", 3, "--judge", tiny_judge).data
    assert best["plan"]["selection"]["best_of"] == 3
    assert best["deviations"][0] == "selection: best of 3 (tiny-judge)"
    assert best["digest"] != plain["digest"]


def test_inception_is_asked_for_with_what_to_copy_where(home: Path, pictures: Path) -> None:
    ran = score(pictures, "--reference", pictures)
    assert ran.code == Exit.WEIGHTS
    said = " ".join(map(str, ran.data["error"].values()))
    assert "weights-inception-2015-12-05-6726825d.pth" in said and "--feature-weights" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing-here"], Exit.USAGE, "no model 'nothing-here'"),
        (["gone.npz"], Exit.USAGE, "no file gone.npz"),
        (["real", "--cfg", "3", "--reference", "real"], Exit.USAGE, "cfg means nothing"),
        (["real"], Exit.USAGE, "nothing to compare"),
        (["real", "-n", "50", "--reference", "real"], Exit.USAGE, "has 45 pictures, not 50"),
        (["real", "--reference", "real", "--metrics", "fidd"], Exit.USAGE, "no metric 'fidd'"),
        (["real", "--reference", "real", "--metrics", "is"], Exit.USAGE, "is has no value here"),
        (["real", "--reference", "real", "--keep", "some"], Exit.USAGE, "--keep some"),
        (["real", "--reference", "real", "--labels", "odd"], Exit.USAGE, "--labels odd"),
        (["real", "--reference", "no-such-statistics"], Exit.USAGE, "no reference statistics"),
        (["empty", "--reference", "real"], Exit.USAGE, "holds no pictures"),
        (["msvq-fashion"], Exit.USAGE, "makes no pictures"),
        (["var-d16", "--batch", "1"], Exit.WEIGHTS, "var-d16 is not on this machine"),
        (
            ["var-d16", "--batch", "100", "--max-memory", "2GB"],
            Exit.MEMORY,
            "var-d16 at batch 100 needs about",
        ),
    ],
)
def test_mistakes_in_plain_words(
    words: list[str],
    code: Exit,
    message: str,
    pictures: Path,
    tiny_judge: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pictures.parent)
    (pictures.parent / "empty").mkdir()
    extractor = ["--extractor", tiny_judge] if words[0] in ("real", "empty") else []
    ran = score(*words, *extractor)
    assert (ran.code, message in ran.data["error"]["message"]) == (code, True), ran.out


def test_files_that_do_not_fit_are_named(pictures: Path, tiny_judge: str, statistics: Path) -> None:
    words = (pictures, "--extractor", tiny_judge, "--reference", statistics)
    (pictures / "017.png").write_bytes(b"no picture")
    refused = score(*words)
    assert refused.code == Exit.USAGE and "017.png" in refused.data["error"]["message"]
    assert score(*words, "--skip-bad").data["left_out"] == ["017.png"]
    Image.new("RGB", (16, 16)).save(pictures / "grid.png")
    mixed = score(*words, "--skip-bad")
    assert mixed.code == Exit.USAGE and "Mixed sizes" in mixed.data["error"]["message"]


def test_statistics_of_another_width_and_with_nan(tmp_path: Path, pictures: Path, tiny_judge: str) -> None:
    np.savez(tmp_path / "wide.npz", mu=np.zeros(7), sigma=np.eye(7))
    ran = score(pictures, "--extractor", tiny_judge, "--reference", tmp_path / "wide.npz")
    assert ran.code == Exit.WEIGHTS
    assert "7 features" in ran.data["error"]["message"] and "16" in ran.data["error"]["message"]
    np.savez(tmp_path / "nan.npz", mu=np.full(16, np.nan), sigma=np.eye(16))
    ran = score(pictures, "--extractor", tiny_judge, "--reference", tmp_path / "nan.npz")
    assert ran.code == Exit.WEIGHTS and "NaN" in ran.data["error"]["message"]
