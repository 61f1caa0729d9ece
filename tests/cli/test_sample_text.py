"""Pictures from prompts: `sample -p`, `--prompts`, `--features`, `--negative`, from flags to files and back.

A tiny LlamaGen with random weights, and a tiny T5 through the real library.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio import registry
from genstudio.configs.features import ClassifierConfig
from genstudio.errors import Exit
from genstudio.media.png import read_spec
from genstudio.releases import weights
from genstudio.releases.release import Release, TextPart
from genstudio.samplers.guidance import Guidance
from genstudio.samplers.recipe import Recipe
from tests import documents
from tests.conftest import _calm
from tests.releases import tiny
from tests.support import genstudio
from tests.text.tiny_t5 import NAME, write_t5

MODEL = "tiny-text"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("hub") / NAME, width=12)


@pytest.fixture(autouse=True)
def release(home: Path, folder: Path) -> Release:
    """A model from text beside its tokenizer and its encoder."""
    made = replace(
        tiny.release(tiny.CAPTIONED, MODEL),
        tokenizer="tiny-grid-vq",
        text=TextPart(encoder=f"someone/{NAME}", cleaning="deepfloyd"),
        recipe=Recipe(guidance=Guidance(cfg=3.0)),
    )
    for one in (made, tiny.release(tiny.GRID_VQ, "tiny-grid-vq")):
        network = _calm(registry.build(one.config, "cpu"))
        for name, value in network.state_dict().items():
            value.mul_(8 if name.startswith(("cond_embed", "head")) else 1)  # so that every text is heard
            if name.endswith("null_TE"):
                value.zero_()
        weights.save_release(home / "models" / one.name, network, one)
    (home / "encoders").mkdir()
    (home / "encoders" / NAME).symlink_to(folder)
    return made


@pytest.fixture
def features(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("red bird\nblue fish\nx\n")
    path = tmp_path / "f.safetensors"
    ran = genstudio("features", tmp_path / "prompts.txt", "-o", path, "--model", MODEL, "-q")
    assert ran.code == Exit.OK, ran.err
    return path


def made(*words: object) -> list[Path]:
    ran = genstudio("sample", *words, "--json")
    assert ran.code == Exit.OK and ran.err == "", (ran.out, ran.err)
    return [Path(entry["file"]) for entry in ran.data["pictures"]]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_every_prompt_goes_with_every_seed_and_names_its_files(tmp_path: Path) -> None:
    files = made(MODEL, "-p", "Red bird!", "-p", "blue fish", "--seed", "4-5", "-o", tmp_path)
    assert [file.name for file in files] == [
        "red-bird-000004.png",
        "red-bird-000005.png",
        "blue-fish-000004.png",
        "blue-fish-000005.png",
    ]
    assert len({pixels(file).tobytes() for file in files}) == 4


def test_what_is_said_twice_alike_is_the_same_picture_alone_or_together(tmp_path: Path) -> None:
    one, other = made(MODEL, "-p", "red bird", "-p", "RED <b>bird</b>", "--seed", "3,4", "-o", tmp_path)[::2]
    (alone,) = made(MODEL, "-p", "red bird", "--seed", "3", "-o", tmp_path / "a")
    assert np.array_equal(pixels(one), pixels(other)) and np.array_equal(pixels(one), pixels(alone))


def test_the_file_holds_prompt_encoder_and_all_and_makes_it_again(tmp_path: Path) -> None:
    first, _ = made(MODEL, "-p", "red bird", "-n", 2, "--negative", "fish", "--seed", "9", "-o", tmp_path)
    spec = read_spec(first)
    assert spec["pictures"] == [[None, 9, "red bird"]] and spec["prompt"] == "red bird"
    assert spec["negative"] == "fish" and "class" not in spec
    assert set(spec["weights"]) == {MODEL, "tiny-grid-vq", NAME}
    with Image.open(first) as image:
        assert "prompt: red bird" in image.info["parameters"]
    (again,) = made("--from", first, "-o", tmp_path / "b")
    assert again.name == first.name and np.array_equal(pixels(first), pixels(again))


def test_a_grid_of_prompts_comes_back_whole(tmp_path: Path) -> None:
    ran = genstudio("sample", MODEL, "-p", "red bird", "-p", "x", "--batch", 1, "-o", tmp_path, "--json").data
    again = genstudio("sample", "--from", ran["grid"], "-o", tmp_path / "b", "--json").data
    assert np.array_equal(pixels(Path(ran["grid"])), pixels(Path(again["grid"])))
    assert [entry["prompt"] for entry in again["pictures"]] == ["red bird", "x"]


def test_a_negative_prompt_steers_and_nothing_else_does(tmp_path: Path) -> None:
    plain, away = (
        made(MODEL, "-p", "red bird", *more, "-o", tmp_path / str(len(more)))[0]
        for more in ([], ["--negative", "blue fish"])
    )
    assert not np.array_equal(pixels(plain), pixels(away))
    unguided, same = (
        made(MODEL, "-p", "red bird", "--cfg", 1, *more, "-o", tmp_path / f"u{len(more)}")[0]
        for more in ([], ["--negative", "blue fish"])
    )
    assert np.array_equal(pixels(unguided), pixels(same))


def test_features_of_a_file_make_the_pictures_of_the_encoder_without_it(
    features: Path, tmp_path: Path, home: Path
) -> None:
    plain = made(MODEL, "-p", "red bird", "-p", "blue fish", "--negative", "x", "-o", tmp_path / "a")
    (home / "encoders" / NAME).unlink()
    stored = made(MODEL, "--features", features, "--negative", "x", "-o", tmp_path / "b")
    for one, other in zip(plain, stored, strict=True):
        assert one.name == other.name and np.array_equal(pixels(one), pixels(other))
    assert read_spec(stored[0])["features"]["path"] == str(features)
    assert read_spec(stored[0])["weights"] == read_spec(plain[0])["weights"]


def test_a_replay_finds_features_that_moved_and_refuses_others(features: Path, tmp_path: Path) -> None:
    (first,) = made(MODEL, "--features", features, "-p", "x", "-o", tmp_path / "a")
    moved = features.rename(tmp_path / "elsewhere")
    gone = genstudio("sample", "--from", first)
    assert gone.code == Exit.USAGE and "--features FILE" in gone.err
    (again,) = made("--from", first, "--features", moved, "-o", tmp_path / "b")
    assert np.array_equal(pixels(first), pixels(again))
    moved.write_bytes(moved.read_bytes()[:-1])
    assert "not what it was" in genstudio("sample", "--from", first, "--features", moved).err
    (plain,) = made(MODEL, "-p", "x", "-o", tmp_path / "c")
    assert "without a features file" in genstudio("sample", "--from", plain, "--features", moved).err
    assert "already says the prompt" in genstudio("sample", "--from", plain, "-p", "y").err


def test_an_exact_accelerator_makes_the_same_pictures_of_prompts(features: Path, tmp_path: Path) -> None:
    words = (MODEL, "--features", features, "-n", 2, "--negative", "x")
    plain = made(*words, "-o", tmp_path / "a")
    fast = made(*words, "--accel", "jacobi:window=6", "-o", tmp_path / "b")
    for one, other in zip(plain, fast, strict=True):
        assert one.name == other.name and np.array_equal(pixels(one), pixels(other))
    assert read_spec(fast[0])["exactness"] == "exact" and read_spec(fast[0])["drafting"]["codes_per_pass"] > 1
    assert np.array_equal(pixels(fast[0]), pixels(made("--from", fast[0], "-o", tmp_path / "c")[0]))


def test_words_that_are_not_read_are_told(tmp_path: Path) -> None:
    ran = genstudio("sample", MODEL, "-p", "Red bird 鳥", "-o", tmp_path)
    assert ran.code == Exit.OK and "'Red bird 鳥' is read without: 鳥" in ran.err


def test_previews_and_grids_carry_the_prompt(tmp_path: Path) -> None:
    words = ("-p", "red bird", "-n", 2, "--preview", tmp_path / "steps", "-o", tmp_path / "o")
    ran = genstudio("sample", MODEL, *words, "--animate", "gif", "--json").data
    assert "red-bird-000000-15.png" in {path.name for path in (tmp_path / "steps").iterdir()}
    assert Path(ran["pictures"][0]["animation"]).name == "red-bird-000000.gif"


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ([], "makes pictures from text", Exit.USAGE),
        (["-c", "3"], "knows no classes", Exit.USAGE),
        (["-p", ""], "A prompt is empty", Exit.USAGE),
        (["-p", "鳥"], "Nothing of the prompt", Exit.USAGE),
        (["-p", "red bird red bird red"], "has 6 tokens, 5 can be read", Exit.USAGE),
        (["-p", "x", "--negative", "red bird red bird red"], "not read would be 'red'", Exit.USAGE),
        (["-p", "x", "--features", "absent"], "no file absent", Exit.USAGE),
        (["--prompts", "absent"], "absent cannot be read", Exit.USAGE),
        (["-p", "x", "--best-of", "2"], "No classifier is known", Exit.USAGE),
    ],
)
def test_mistakes_are_two_lines_before_weights_are_loaded(
    tmp_path: Path, home: Path, words: list[str], said: str, code: Exit
) -> None:
    (home / "models" / MODEL / weights.MODEL).unlink()
    ran = genstudio("sample", MODEL, *words, "-o", tmp_path / "o")
    assert ran.code == code and said in ran.err, ran.err
    assert len(ran.err.strip().splitlines()) == 2 and not (tmp_path / "o").exists()


def test_an_encoder_that_is_not_here_is_told_before_weights_are_loaded(tmp_path: Path, home: Path) -> None:
    (home / "encoders" / NAME).unlink()
    ran = genstudio("sample", MODEL, "-p", "x", "-o", tmp_path / "o")
    assert ran.code == Exit.WEIGHTS and f"hf download someone/{NAME}" in ran.err


def test_a_model_of_classes_takes_no_text(tiny_var: str, tmp_path: Path) -> None:
    for words in (["-p", "x"], ["--negative", "x"], ["--prompts", "f"], ["--features", "f"]):
        ran = genstudio("sample", tiny_var, *words, "-o", tmp_path / "o")
        assert ran.code == Exit.USAGE and "it reads no text" in ran.err


def test_a_dry_run_shows_what_would_be_made(tmp_path: Path, home: Path) -> None:
    (home / "models" / MODEL / weights.MODEL).unlink()
    (tmp_path / "p.jsonl").write_text('{"prompt": "a bird"}\n{"prompt": "x"}\n')
    found = genstudio("sample", MODEL, "--prompts", tmp_path / "p.jsonl", "--negative", "x", "--dry-run").data
    assert found["pictures"] == [[None, 0, "a bird"], [None, 1, "x"]] and found["negative"] == "x"


def test_python_makes_the_picture_of_the_command_line(tmp_path: Path) -> None:
    import genstudio as package

    (file,) = made(MODEL, "-p", "red bird", "--seed", "7", "-o", tmp_path)
    (picture,) = package.load(MODEL).sample(prompts="red bird", seed=7)
    assert np.array_equal(pixels(file), np.asarray(picture.image)) and picture.name == "red bird"


@pytest.fixture
def judge(home: Path) -> str:
    """A tiny classifier that looks at pictures of this size."""
    config = ClassifierConfig(channels=3, pixels=16, width=8, features=16, classes=10)
    judge = tiny.release(config, "tiny-judge-16")
    weights.save_release(home / "models" / judge.name, _calm(registry.build(config, "cpu")), judge)
    return judge.name


def test_a_score_takes_prompts_in_turn_and_goes_on_with_the_same_alone(
    tmp_path: Path, features: Path, judge: str
) -> None:
    real = tmp_path / "real"
    made(MODEL, "-p", "red bird", "-n", 3, "--no-grid", "-o", real)
    words = [
        "eval-fid",
        MODEL,
        "-n",
        4,
        "--batch",
        2,
        "--extractor",
        judge,
        "--reference",
        real,
        "-q",
        "--json",
    ]
    words += ["--metrics", "fid", "--resume", tmp_path / "run", "--keep", "all", "-o", tmp_path / "o"]
    found = genstudio(*words, "--features", features, "--negative", "x")
    assert found.code == Exit.OK, found.out
    specs = [read_spec(path) for path in sorted((tmp_path / "o" / MODEL / "pictures").glob("*.png"))]
    assert [spec["pictures"] for spec in specs] == [
        [[None, 0, "red bird"]],
        [[None, 1, "blue fish"]],
        [[None, 2, "red bird"]],
        [[None, 3, "blue fish"]],
    ]
    assert "away from 'x'" in found.data["deviations"]
    other = genstudio(*words, "--features", features)
    assert other.code == Exit.USAGE and "negative differ" in other.out
    assert "knows no classes" in genstudio(*words, "--features", features, "--labels", "random").out
    assert "makes pictures from text" in genstudio(*words).out


def test_a_comparison_shows_the_same_prompts_in_every_setting(
    tmp_path: Path, features: Path, judge: str
) -> None:
    stats = tmp_path / "real.safetensors"
    made(MODEL, "-p", "red bird", "-n", 6, "--no-grid", "-o", tmp_path / "real")
    scored = genstudio("eval-fid", tmp_path / "real", "--extractor", judge, "--save-stats", stats, "-q")
    assert scored.code == Exit.OK, scored.err
    words = ["compare", MODEL, "--vary", "cfg=1,3", "-n", 6, "--batch", 3, "--extractor", judge]
    words += ["--reference", stats, "-o", tmp_path / "compared", "--json"]
    found = genstudio(*words, "--features", features)
    assert found.code == Exit.OK, found.out
    page = (tmp_path / "compared" / "report.html").read_text()
    assert "blue fish" in page and "seed 3" in page
    assert "makes pictures from text" in genstudio(*words).out


def test_commands_of_the_page_about_prompts_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(words: documents.Words) -> documents.Words:
        words = [MODEL if word.startswith("llamagen") else word for word in words]
        return [*words, "--model", MODEL] if words[0] == "features" else words

    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("a red bird\na blue fish\n")
    documents.run(documents.DOCS / "docs" / "prompts.md", here)


def test_speed_and_memory_are_measured_without_an_encoder(home: Path) -> None:
    (home / "encoders" / NAME).unlink()
    found = genstudio("bench", MODEL, "--batch", "1", "-n", 1, "--json")
    assert found.code == Exit.OK and found.data["cases"][0]["tokens"] == 16
