"""`genstudio sample --image --mask`: what is kept, what the file remembers, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.errors import Exit
from genstudio.media.png import read_spec
from genstudio.media.reading import read_picture
from tests.support import genstudio

SIZE = (24, 16)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Flags of an edit: a picture, and a mask whose left half is kept."""
    levels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "picture.png")
    mask = Image.new("L", SIZE, "white")
    mask.paste("black", (0, 0, 12, 16))
    mask.save(tmp_path / "mask.png")
    return ["--image", str(tmp_path / "picture.png"), "--mask", str(tmp_path / "mask.png")]


def made(*words: object) -> Path:
    ran = genstudio("sample", *words, "--json")
    assert ran.code == Exit.OK, ran.out
    return Path(ran.data["pictures"][0]["file"])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_an_edit_is_of_no_class_unless_one_is_given(tiny_var: str, tmp_path: Path, files: list[str]) -> None:
    plain = made(tiny_var, *files, "--seed", "3", "-o", tmp_path / "a")
    classed = made(tiny_var, *files, "--seed", "3", "-c", "4", "-o", tmp_path / "a")
    assert plain.name == "none-000003.png" and classed.name == "004-000003.png"
    assert read_spec(plain)["pictures"] == [[None, 3]] and read_spec(plain)["class"] == "none"
    assert not np.array_equal(pixels(plain), pixels(classed))


def test_pictures_of_no_class_need_no_edit(tiny_var: str, tmp_path: Path) -> None:
    first = made(tiny_var, "-c", "none", "--seed", "5", "-o", tmp_path / "a")
    again = made("--from", first, "-o", tmp_path / "b")
    assert first.name == again.name == "none-000005.png"
    assert np.array_equal(pixels(first), pixels(again))


def test_the_run_says_how_the_picture_was_fitted(tiny_var: str, tmp_path: Path, files: list[str]) -> None:
    ran = genstudio("sample", tiny_var, *files, "-o", tmp_path)
    assert "24x16, cropped and resized to 8x8; 50% is made anew" in ran.err
    assert "white of mask.png anew in picture.png" in ran.err


def test_outside_makes_the_other_half(tiny_var: str, tmp_path: Path, files: list[str]) -> None:
    inside, outside = (
        pixels(made(tiny_var, *files, "--paste", *flag, "-o", tmp_path / "a")) for flag in ([], ["--outside"])
    )
    given = np.asarray(read_picture(Path(files[1]), 8, "RGB"))
    assert np.array_equal(inside[:, :4], given[:, :4]) and not np.array_equal(inside[:, 4:], given[:, 4:])
    assert np.array_equal(outside[:, 4:], given[:, 4:]) and not np.array_equal(outside[:, :4], given[:, :4])


def test_the_file_remembers_the_edit_and_makes_it_again(
    tiny_var: str, tmp_path: Path, files: list[str]
) -> None:
    first = made(tiny_var, *files, "--paste", "-c", "2", "-o", tmp_path / "a")
    edit = read_spec(first)["edit"]
    assert edit["image"]["path"] == files[1] and edit["mask"]["path"] == files[3]
    assert len(edit["image"]["sha256"]) == len(edit["mask"]["sha256"]) == 64
    assert edit["paste"] is True and edit["outside"] is False
    assert np.array_equal(pixels(first), pixels(made("--from", first, "-o", tmp_path / "b")))


def test_a_replay_finds_files_that_moved_and_refuses_others(
    tiny_var: str, tmp_path: Path, files: list[str]
) -> None:
    first = made(tiny_var, *files, "-o", tmp_path / "a")
    moved = tmp_path / "elsewhere.png"
    Path(files[1]).rename(moved)
    gone = genstudio("sample", "--from", first)
    assert gone.code == Exit.USAGE and "picture.png" in gone.err and "--image FILE" in gone.err
    again = made("--from", first, "--image", moved, "-o", tmp_path / "b")
    assert np.array_equal(pixels(first), pixels(again))
    Image.new("RGB", SIZE, "red").save(moved)
    other = genstudio("sample", "--from", first, "--image", moved)
    assert other.code == Exit.USAGE and "not what it was" in other.err


def test_every_preview_of_a_pasted_edit_keeps_the_pixels(
    tiny_var: str, tmp_path: Path, files: list[str]
) -> None:
    last = made(tiny_var, *files, "--paste", "-o", tmp_path / "a", "--preview", tmp_path / "steps")
    steps = [pixels(path) for path in sorted((tmp_path / "steps").iterdir())]
    assert len(steps) == 3 and np.array_equal(steps[-1], pixels(last))
    assert all(np.array_equal(step[:, :4], steps[-1][:, :4]) for step in steps)


def test_a_dry_run_shows_the_edit(tiny_var: str, tmp_path: Path, files: list[str]) -> None:
    plan = genstudio("sample", tiny_var, *files, "--dry-run").data
    assert plan["edit"]["mask"]["path"] == files[3] and plan["pictures"] == [[None, 0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda flags: flags[:2], ["needs a picture and a mask", "White is made anew"]),
        (lambda flags: flags[2:], ["needs a picture and a mask"]),
        (lambda flags: ["--outside"], ["needs a picture and a mask"]),
        (lambda flags: [*flags[:3], "small.png"], ["small.png is 8x8", "picture.png is 24x16"]),
        (lambda flags: [*flags[:3], flags[1]], ["picture.png has colours", "in grey"]),
        (lambda flags: [*flags[:3], "text.png"], ["text.png is no picture"]),
        (lambda flags: ["--image", "absent.png", *flags[2:]], ["no file absent.png"]),
        (lambda flags: [*flags, "--best-of", "2", "--judge", "tiny-judge"], ["no class cannot be judged"]),
    ],
)
def test_mistakes_are_two_lines(
    tiny_var: str,
    tiny_judge: str,
    tmp_path: Path,
    files: list[str],
    change: object,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("small.png")
    Path("text.png").write_text("no picture")
    ran = genstudio("sample", tiny_var, *change(files), "-o", tmp_path / "o")  # type: ignore[operator]
    assert ran.code == Exit.USAGE and len(ran.err.strip().splitlines()) == 2
    assert all(word in ran.err for word in words), ran.err
    assert not (tmp_path / "o").exists()


def test_a_replay_takes_no_other_edit(tiny_var: str, tmp_path: Path, files: list[str]) -> None:
    plain = made(tiny_var, "-c", "1", "-o", tmp_path)
    assert "is no edit" in genstudio("sample", "--from", plain, *files).err
    assert "already says the paste" in genstudio("sample", "--from", plain, "--paste").err
