"""`sample --accel` from flags to files and back: real accelerators on a tiny LlamaGen with random weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genstudio.configs.features import ClassifierConfig
from genstudio.errors import Exit
from genstudio.media.png import read_spec
from genstudio.releases import catalogue, weights
from genstudio.releases.release import Companions, Release
from genstudio.samplers.accelerators import choose_accelerators
from tests import documents
from tests.releases import tiny
from tests.support import genstudio

MODEL = "tiny-llamagen"
NAMED = "jacobi:window=16,init=repeat_horizon"
pytestmark = pytest.mark.usefixtures("tiny_llamagen")


def made(*words: object) -> dict[str, object]:
    ran = genstudio("sample", *words, "--json")
    assert ran.code == Exit.OK and ran.err == "", (ran.out, ran.err)
    return ran.data


def files(data: dict[str, object]) -> list[Path]:
    return [Path(entry["file"]) for entry in data["pictures"]]  # type: ignore[index]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_an_exact_accelerator_makes_the_same_files_and_says_how(tmp_path: Path) -> None:
    plain = made(MODEL, "-c", "1,2", "-n", 3, "-o", tmp_path / "a")
    fast = made(MODEL, "-c", "1,2", "-n", 3, "--accel", "jacobi:window=4", "-o", tmp_path / "b")
    for one, other in zip(files(plain), files(fast), strict=True):
        assert one.name == other.name and np.array_equal(pixels(one), pixels(other))
    drafting = fast["drafting"]
    assert drafting["accelerators"] == "jacobi:window=4,init=repeat_horizon"  # type: ignore[index]
    assert drafting["exactness"] == "exact" and drafting["codes_per_pass"] > 1  # type: ignore[index]
    assert 0 < drafting["acceptance"] < 1 and drafting["passes"] < 16  # type: ignore[index]
    assert drafting["pass_seconds"] > 0 and drafting["speed"] > 0  # type: ignore[index]
    assert "drafting" not in plain and "drafting" not in plain["pictures"][0]  # type: ignore[index]
    each = [entry["drafting"] for entry in fast["pictures"]]  # type: ignore[index]
    assert drafting["passes"] == pytest.approx(sum(one["passes"] for one in each) / 6)  # type: ignore[index]


@pytest.mark.parametrize("accel", ["jacobi", "sjd:window=5", "spectr:k=2,length=3", "lantern:k=4"])
def test_a_file_makes_its_picture_again(tmp_path: Path, accel: str) -> None:
    first = files(made(MODEL, "-c", 3, "-n", 2, "--seed", 9, "--accel", accel, "-o", tmp_path))[1]
    spec = read_spec(first)
    assert all(setting in spec["accelerators"][0] for setting in accel.partition(":")[2].split(","))
    assert spec["drafting"]["passes"] > 1
    again = made("--from", first, "-o", tmp_path / "b")
    assert np.array_equal(pixels(first), pixels(files(again)[0]))
    assert read_spec(files(again)[0])["drafting"] == spec["drafting"]
    with Image.open(first) as image:
        assert f"accelerators: ['{accel.partition(':')[0]}:" in image.info["parameters"]


def test_the_draft_is_named_with_its_weights_and_missed_when_it_changed(tmp_path: Path, home: Path) -> None:
    (first,) = files(made(MODEL, "-c", 3, "-n", 1, "--accel", "spectr", "-o", tmp_path))
    spec = read_spec(first)
    assert spec["accelerators"] == ["spectr:draft=tiny-draft,k=4,length=4"]
    assert spec["exactness"] == "same-distribution"
    assert set(spec["weights"]) == {MODEL, "tiny-grid-vq", "tiny-draft"}
    (plain,) = files(made(MODEL, "-c", 3, "-n", 1, "-o", tmp_path))
    assert set(read_spec(plain)["weights"]) == {MODEL, "tiny-grid-vq"}
    release = catalogue.find("tiny-draft")
    weights.save_release(home / "models" / "tiny-draft", tiny.network(release.config, seed=3), release)
    ran = genstudio("sample", "--from", first, "-o", tmp_path / "b")
    assert ran.code == Exit.OK and "Not as when the file was made: tiny-draft" in ran.err


def test_a_draft_in_a_folder_is_found_from_anywhere(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (home / "models" / "tiny-draft").rename(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    (first,) = files(made(MODEL, "-c", 3, "-n", 1, "--accel", "spectr:draft=mine", "-o", tmp_path / "o"))
    assert read_spec(first)["accelerators"] == [f"spectr:draft={folder},k=4,length=4"]
    monkeypatch.chdir(home)
    (again,) = files(made("--from", first, "-o", tmp_path / "b"))
    assert np.array_equal(pixels(first), pixels(again))


def test_people_are_told_what_was_promised_and_what_came_of_it(tmp_path: Path) -> None:
    ran = genstudio("sample", MODEL, "-c", 3, "-n", 2, "--accel", "jacobi", "-o", tmp_path)
    assert "jacobi:window=16,init=repeat_horizon (exact up to near ties)" in ran.err
    told = ran.out.strip().splitlines()[-1]
    assert told.startswith("jacobi:") and "codes a pass" in told and "of drafts accepted; " in told
    assert "as plain decoding here" in told or "slower here: plain decoding would be" in told


def test_where_it_loses_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for plain, word in ((1e-9, "slower here: plain decoding would be"), (1e9, "x as fast as plain decoding")):
        monkeypatch.setattr("genstudio.measure.pace.plain_pass", lambda *_, seconds=plain: seconds)
        ran = genstudio("sample", MODEL, "-c", 3, "-n", 1, "--accel", "sjd", "-o", tmp_path)
        assert word in ran.out.splitlines()[-1]


def test_an_overlay_shows_every_picture_with_its_cells(tmp_path: Path) -> None:
    words = (MODEL, "-c", 3, "-n", 2, "--accel", "jacobi", "-o", tmp_path / "o")
    found = made(*words, "--overlay", tmp_path / "drafts.png")
    assert found["overlay"] == str(tmp_path / "drafts.png")
    with Image.open(tmp_path / "drafts.png") as shown:
        assert shown.width > 4 * 64 and shown.mode == "RGB"
    again = made(*words, "--overlay", tmp_path / "drafts.png")
    assert again["overlay"] == str(tmp_path / "drafts-1.png")
    refused = genstudio("sample", MODEL, "--overlay", tmp_path / "x.png", "-o", tmp_path / "o")
    assert refused.code == Exit.USAGE and "Give --accel too" in refused.err


def test_candidates_may_be_drafted(tmp_path: Path, judge: str) -> None:
    words = (MODEL, "-c", 3, "-n", 2, "--best-of", 2, "--judge", judge)
    plain = made(*words, "-o", tmp_path / "a")
    fast = made(*words, "--accel", "jacobi", "-o", tmp_path / "b")
    for one, other in zip(files(plain), files(fast), strict=True):
        assert np.array_equal(pixels(one), pixels(other))
    assert "speed" not in fast["drafting"] and fast["drafting"]["passes"] > 1  # type: ignore[operator, index]


def other_draft(home: Path, numbers: dict[str, object], **parts: object) -> str:
    """A draft that differs from the model in one thing."""
    release = catalogue.find("tiny-draft")
    config = replace(release.generator, **numbers)  # type: ignore[arg-type]
    other: Release = replace(release, name="other", config=config, **parts)  # type: ignore[arg-type]
    weights.save_release(home / "models" / "other", tiny.network(other.config), other)
    return "spectr:draft=other"


MISFITS = [
    ({"vocab": 16}, "its draft other has 16 codes in its vocabulary, the model 32"),
    ({"side": 8}, "its draft other has 8 codes in a row, the model 4"),
    ({"classes": 7}, "its draft other has 7 classes, the model 10"),
    ({"classes": 0, "caption": tiny.CAPTIONED.caption}, "its draft other has no classes, the model 10"),
]


@pytest.fixture
def _closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may open weights."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were opened")

    monkeypatch.setattr(weights, "read", refuse)
    monkeypatch.setattr(weights, "load", refuse)


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize(("changed", "said"), MISFITS)
def test_a_draft_of_other_codes_is_refused_before_weights_are_opened(
    tmp_path: Path, home: Path, changed: dict[str, object], said: str
) -> None:
    ran = genstudio("sample", MODEL, "--accel", other_draft(home, changed), "-o", tmp_path / "o")
    assert ran.code == Exit.USAGE and said in ran.err and "models --accel" in ran.err
    assert len(ran.err.strip().splitlines()) == 2 and not (tmp_path / "o").exists()


@pytest.mark.usefixtures("_closed")
def test_so_is_one_whose_codes_or_classes_mean_something_else(home: Path) -> None:
    tokenizer = replace(
        catalogue.find("tiny-grid-vq"), name="other-vq", config=replace(tiny.GRID_VQ, width=16)
    )
    weights.save_release(home / "models" / "other-vq", tiny.network(tokenizer.config), tokenizer)
    ran = genstudio("sample", MODEL, "--accel", other_draft(home, {}, tokenizer="other-vq"))
    assert ran.code == Exit.USAGE and "its draft other has another tokenizer, other-vq" in ran.err
    ran = genstudio("sample", MODEL, "--accel", other_draft(home, {}, classes=tuple("abcdefghij")))
    assert ran.code == Exit.USAGE and "its draft other knows other classes" in ran.err


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize(
    ("accel", "said"),
    [
        (["jacobi:window=1"], "window = '1' cannot be"),
        (["jacobi:size=4"], "no setting 'size'"),
        (["sjd:init=left"], "init = 'left' cannot be"),
        (["spectr:k=99"], "k = '99' cannot be"),
        (["spectr:draft=nobody"], "There is no model 'nobody'"),
        (["spectr:draft=tiny-grid-vq"], "its draft tiny-grid-vq is a vq, not a llamagen"),
        (["lantern:drafter=tiny-draft"], "tiny-draft is a llamagen, not a drafter"),
        (["lantern:lambda=5,delta=0.2"], "delta and lambda are two bounds"),
        (["lantern:lambda=1"], "lambda = '1' cannot be"),
        (["jacobi", "sjd"], "jacobi and sjd were never shown to work together"),
        (["jacobi", "jacobi:window=4"], "jacobi is given twice"),
    ],
)
def test_mistakes_are_two_lines_before_weights_are_opened(
    tmp_path: Path, accel: list[str], said: str
) -> None:
    words = [word for one in accel for word in ("--accel", one)]
    ran = genstudio("sample", MODEL, *words, "-o", tmp_path / "o")
    assert ran.code == Exit.USAGE and said in ran.err, ran.err
    assert len(ran.err.strip().splitlines()) == 2 and not (tmp_path / "o").exists()


@pytest.mark.usefixtures("_closed")
def test_other_kinds_and_missing_weights_are_refused_before_weights_are_opened(
    tiny_var: str, tmp_path: Path, home: Path
) -> None:
    for accel in ("jacobi", "sjd", "spectr", "lantern"):
        ran = genstudio("sample", tiny_var, "--accel", accel, "-o", tmp_path / "o")
        assert ran.code == Exit.USAGE, accel
        assert f"{accel} does not take tiny-var: a var does not make one code after the other" in ran.err
    (home / "models" / "tiny-draft" / weights.MODEL).unlink()
    ran = genstudio("sample", MODEL, "--accel", "spectr", "-o", tmp_path / "o")
    assert ran.code == Exit.WEIGHTS and "tiny-draft is not on this machine" in ran.err
    named = replace(catalogue.find("tiny-draft"), companions=Companions())
    (home / "models" / "tiny-draft" / "release.json").write_text(json.dumps({"name": named.name}))
    assert genstudio("sample", MODEL, "--accel", "spectr", "--dry-run").code == Exit.WEIGHTS


def test_a_dry_run_says_what_would_be_used(home: Path) -> None:
    (home / "models" / "tiny-draft" / weights.MODEL).unlink()
    found = genstudio("sample", MODEL, "--accel", "spectr", "--dry-run").data
    assert found["accelerators"] == ["spectr:draft=tiny-draft,k=4,length=4"]
    assert found["exactness"] == "same-distribution"


def test_the_table_of_accelerators() -> None:
    lines = genstudio("models", "--accel").out.splitlines()
    assert lines[0].split() == ["MODEL", "jacobi", "sjd", "spectr", "lantern", "cspd"]
    row = next(line for line in lines if line.startswith("tiny-llamagen "))
    assert row.split() == [MODEL, "exact", "same-distribution", "same-distribution", "lossy"]
    data = genstudio("models", "--accel", "--json").data["accelerators"]
    spectr = next(one for one in data if one["name"] == "spectr")
    assert spectr["models"]["llamagen-3b-384"]["exactness"] == "same-distribution"
    assert "names no draft" in spectr["models"]["llamagen-b-384"]["refusal"]
    lantern = next(one for one in data if one["name"] == "lantern")
    assert lantern["models"]["llamagen-t2i-xl-256"]["exactness"] == "lossy"
    assert "names no drafter" in lantern["models"]["llamagen-b-384"]["refusal"]


def test_a_drafter_of_other_features_is_refused(home: Path) -> None:
    for number, (changed, said) in enumerate(
        [
            ({"width": 16, "heads": 2}, "has 16 numbers in a feature, the model 32"),
            ({"vocab": 64}, "has 64 codes in its vocabulary, the model 32"),
            ({"side": 8}, "has 8 codes in a row, the model 4"),
            ({"condition_slots": 5}, "has 5 slots of a condition, the model 1"),
        ]
    ):
        release = tiny.release(replace(tiny.DRAFTER, **changed), f"drafter-{number}")  # type: ignore[arg-type]
        weights.save_release(home / "models" / release.name, tiny.network(release.config), release)
        ran = genstudio("sample", MODEL, "--accel", f"lantern:drafter={release.name}")
        assert ran.code == Exit.USAGE and f"its drafter {release.name} {said}" in ran.err


def test_a_companion_that_moved_away_is_missed_in_the_table_and_in_a_run(home: Path) -> None:
    (home / "models" / "tiny-draft").rename(home / "elsewhere")
    data = genstudio("models", "--accel", "--json").data["accelerators"]
    spectr = next(one for one in data if one["name"] == "spectr")
    assert spectr["models"][MODEL]["refusal"] == "its draft tiny-draft is not here"
    ran = genstudio("sample", MODEL, "--accel", "spectr")
    assert ran.code == Exit.USAGE and "its draft tiny-draft is not here" in ran.err
    assert (
        genstudio("sample", MODEL, "--accel", f"spectr:draft={home / 'elsewhere'}", "--dry-run").code
        == Exit.OK
    )


def test_neighbours_are_stored_once_for_all_runs(tmp_path: Path, home: Path) -> None:
    made(MODEL, "-c", 3, "-n", 1, "--accel", "lantern:k=4", "-o", tmp_path)
    (table,) = (home / "neighbours").iterdir()
    written = table.stat().st_mtime_ns
    made(MODEL, "-c", 4, "-n", 1, "--accel", "lantern:k=4", "-o", tmp_path)
    assert table.stat().st_mtime_ns == written


def test_python_makes_the_picture_of_the_command_line(tmp_path: Path) -> None:
    import genstudio as package

    (file,) = files(made(MODEL, "-c", 3, "-n", 1, "--seed", 7, "--accel", "sjd", "-o", tmp_path))
    studio = package.load(MODEL)
    (picture,) = studio.sample(3, n=1, seed=7, accel="sjd")
    assert np.array_equal(pixels(file), np.asarray(picture.image))
    assert picture.account is not None and isinstance(picture.account.origin_L, torch.Tensor)


@pytest.fixture
def judge(home: Path) -> str:
    """A tiny classifier of pictures of this size."""
    config = ClassifierConfig(channels=3, pixels=16, width=8, features=16, classes=10)
    release = tiny.release(config, "tiny-judge-16")
    weights.save_release(home / "models" / release.name, tiny.network(config), release)
    return release.name


def test_a_score_is_made_with_an_accelerator_and_says_so(tmp_path: Path, judge: str) -> None:
    made(MODEL, "-n", 6, "--no-grid", "-o", tmp_path / "real")
    words = ["eval-fid", MODEL, "-n", 4, "--batch", 2, "--extractor", judge, "--metrics", "fid"]
    words += ["--reference", tmp_path / "real" / MODEL, "--json"]
    plain, fast, other = (
        genstudio(*words, *more) for more in ([], ["--accel", "jacobi"], ["--accel", "sjd"])
    )
    assert plain.code == fast.code == other.code == Exit.OK, (plain.out, fast.out, other.out)
    assert plain.data["digest"] == fast.data["digest"] != other.data["digest"]
    said = fast.data["deviations"][0]
    assert said == "accelerated: jacobi:window=16,init=repeat_horizon (exact up to near ties)"
    resumed = [*words, "--resume", tmp_path / "run"]
    assert genstudio(*resumed, "--accel", "jacobi").code == Exit.OK
    refused = genstudio(*resumed, "--accel", "sjd")
    assert refused.code == Exit.USAGE and "accelerators" in refused.out
    assert "never shown" in genstudio(*words, "--accel", "sjd", "--accel", "jacobi").out
    assert "accel means nothing" in genstudio("eval-fid", tmp_path / "real", "--accel", "sjd").err


def test_memory_counts_drafts(home: Path) -> None:
    from genstudio.measure.memory import held

    release = catalogue.find(MODEL)
    sizes = [
        held(release, 4, "float32", None, choose_accelerators(release, accel))
        for accel in ([], ["jacobi:window=8"], ["spectr"])
    ]
    assert sizes[0].weights == sizes[1].weights < sizes[2].weights
    assert sizes[0].cache < sizes[1].cache < sizes[2].cache
    ran = genstudio("sample", MODEL, "--accel", "spectr", "--max-memory", "1MB", "--batch", 4)
    assert ran.code == Exit.MEMORY


@pytest.fixture
def _rated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine can do is measured elsewhere."""
    for rate in ("matrix_rate", "copy_rate"):
        monkeypatch.setattr(f"genstudio.measure.bench.{rate}", lambda *_: 1e9)


@pytest.mark.usefixtures("_rated")
def test_a_benchmark_measures_every_accelerator_beside_plain_decoding() -> None:
    words = ["bench", MODEL, "--batch", 2, "-n", 1, "--accel", "jacobi:window=4", "--accel", "spectr:k=2"]
    found = genstudio(*words, "--json")
    assert found.code == Exit.OK, found.out
    plain, jacobi, spectr = found.data["cases"]
    assert "accelerators" not in plain and plain["steps"] == 16
    assert jacobi["accelerators"] == ["jacobi:window=4,init=repeat_horizon"]
    assert jacobi["exactness"] == "exact" and spectr["exactness"] == "same-distribution"
    for one in (jacobi, spectr):
        assert one["steps"] == one["passes"] < 16 and one["codes_per_pass"] > 1 and 0 < one["acceptance"] < 1
        seconds = plain["image_seconds"]["median"] / one["image_seconds"]["median"]
        assert one["speed"] == pytest.approx(seconds)
        assert one["memory"]["cache"] > plain["memory"]["cache"]
    assert spectr["memory"]["weights"] > jacobi["memory"]["weights"] == plain["memory"]["weights"]
    told = genstudio(*words).out
    assert "BESIDE PLAIN" in told and "same-distribution" in told
    assert "no setting" in genstudio("bench", MODEL, "--accel", "jacobi:x=1").err


def test_a_comparison_puts_accelerators_beside_the_plain_recipe(tmp_path: Path, judge: str) -> None:
    made(MODEL, "-n", 6, "--no-grid", "-o", tmp_path / "real")
    stats, real = tmp_path / "real.safetensors", tmp_path / "real" / MODEL
    assert genstudio("eval-fid", real, "--extractor", judge, "--save-stats", stats, "-q").code == Exit.OK
    words = ["compare", MODEL, "-n", 4, "--batch", 4, "--extractor", judge, "--reference", stats]
    words += ["--accel", "jacobi", "--accel", "spectr", "-o", tmp_path / "c", "--json"]
    found = genstudio(*words)
    assert found.code == Exit.OK, found.out
    plain, jacobi, spectr = found.data["points"]
    assert [plain["label"], jacobi["label"], spectr["label"]] == ["baseline", "exact", "same-distribution"]
    assert plain["digest"] == jacobi["digest"] != spectr["digest"]
    assert [plain["setting"], jacobi["setting"]] == ["accel none", f"accel {NAMED}"]


@pytest.mark.usefixtures("_rated")
def test_commands_of_the_page_about_accelerators_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    names = {"llamagen-fashion-draft": "tiny-draft", "llamagen-fashion": MODEL}
    stats = tmp_path / "real.safetensors"
    made(MODEL, "-n", 6, "--no-grid", "-o", tmp_path / "real")
    real = tmp_path / "real" / MODEL
    assert genstudio("eval-fid", real, "--extractor", judge, "--save-stats", stats, "-q").code == Exit.OK

    def here(words: documents.Words) -> documents.Words:
        for name, tiny_name in names.items():
            words = [word.replace(name, tiny_name) for word in words]
        words = ["1,2" if word == "bag,dress" else word for word in words]
        scored = words[0] in ("eval-fid", "compare")
        return [*words, "--extractor", judge, "--reference", str(stats)] if scored else words

    monkeypatch.chdir(tmp_path)
    documents.run(documents.DOCS / "docs" / "accelerators.md", here)
    assert (tmp_path / "drafts.png").is_file()
