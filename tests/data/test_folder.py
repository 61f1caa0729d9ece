"""Folders of pictures: layout, split, cropping, damaged files."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from genstudio.data.sources import open_pictures
from genstudio.errors import GenstudioError


def paint(
    path: Path, colour: str | tuple[int, ...], size: tuple[int, int] = (8, 8), mode: str = "RGB"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_classes_are_the_subfolders_in_order(tmp_path: Path) -> None:
    for name in ("train/b/1.png", "train/a/2.PNG", "train/a/deep/3.png", "val/b/4.png"):
        paint(tmp_path / name, "red")
    (tmp_path / "train/a/notes.txt").write_text("no picture")
    train, test = (open_pictures(str(tmp_path), split, 8, 3) for split in ("train", "test"))
    assert train.classes == test.classes == ("a", "b")
    assert train.labels(range(3)).tolist() == [0, 0, 1] and test.labels([0]).tolist() == [1]


def test_a_hashed_tenth_is_held_out_and_stays_so(tmp_path: Path) -> None:
    for i in range(200):
        paint(tmp_path / f"class{i % 3}/{i}.png", (i, 0, 0), (2, 2))
    train, test = (open_pictures(str(tmp_path), split, 2, 3) for split in ("train", "test"))
    assert len(train) + len(test) == 200 and 5 <= len(test) <= 40
    held_out = set(test.pixels(range(len(test)))[:, 0, 0, 0].tolist())
    assert not held_out & set(train.pixels(range(len(train)))[:, 0, 0, 0].tolist())
    paint(tmp_path / "class0/another.png", (250, 0, 0), (2, 2))
    again = open_pictures(str(tmp_path), "test", 2, 3)
    assert held_out <= set(again.pixels(range(len(again)))[:, 0, 0, 0].tolist())


def test_pictures_without_subfolders_are_one_class(tmp_path: Path) -> None:
    for i in range(30):
        paint(tmp_path / "cats" / f"{i}.png", "red")
    assert open_pictures(str(tmp_path / "cats"), "train", 8, 3).classes == ("cats",)


def test_crop_keeps_the_centre_and_the_right_size_is_untouched(tmp_path: Path) -> None:
    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    for folder in ("train/a", "test/a"):
        (tmp_path / folder).mkdir(parents=True)
    wide.save(tmp_path / "train/a/0.png")
    exact_CHW = torch.randint(0, 256, (3, 10, 10), dtype=torch.uint8)
    Image.fromarray(exact_CHW.permute(1, 2, 0).numpy()).save(tmp_path / "train/a/1.png")
    x_nCHW = open_pictures(str(tmp_path), "train", 10, 3).pixels([0, 1])
    assert x_nCHW[0, :, 5, 5].tolist() == [0, 0, 255] and x_nCHW[0, 2].min() >= 230  # red borders the crop
    assert torch.equal(x_nCHW[1], exact_CHW)


def test_transparent_is_white_and_grey_is_one_channel(tmp_path: Path) -> None:
    paint(tmp_path / "train/a/0.png", (255, 0, 0, 0), mode="RGBA")
    paint(tmp_path / "test/a/0.png", "red")
    assert open_pictures(str(tmp_path), "train", 8, 3).pixels([0]).min() == 255
    assert open_pictures(str(tmp_path), "test", 8, 1).pixels([0]).shape == (1, 1, 8, 8)


def test_fingerprint_sees_added_and_changed_files(tmp_path: Path) -> None:
    paint(tmp_path / "train/a/0.png", "red")
    paint(tmp_path / "test/a/0.png", "red")

    def fingerprint() -> str:
        return open_pictures(str(tmp_path), "train", 8, 3).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    paint(tmp_path / "train/a/1.png", "blue")
    second = fingerprint()
    paint(tmp_path / "train/a/1.png", "blue", (20, 20))
    assert len({first, second, fingerprint()}) == 3


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "cut"])
def test_a_damaged_picture_is_named(tmp_path: Path, content: bytes | None) -> None:
    paint(tmp_path / "train/a/0.png", "red", (64, 64))
    paint(tmp_path / "test/a/0.png", "red")
    damaged = tmp_path / "train/a/0.png"
    damaged.write_bytes(damaged.read_bytes()[:60] if content is None else content)
    with pytest.raises(GenstudioError, match=r"a/0\.png is no picture"):
        open_pictures(str(tmp_path), "train", 8, 3).pixels([0])


def test_a_test_class_that_training_lacks_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "train/a/0.png", "red")
    paint(tmp_path / "test/b/0.png", "red")
    with pytest.raises(GenstudioError, match="lacks: b"):
        open_pictures(str(tmp_path), "test", 8, 3)


def test_no_folder_no_pictures_wrong_channels(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match="There is no folder") as caught:
        open_pictures("fashoin", "train", 32, 1)
    assert "fashion" in caught.value.hint
    with pytest.raises(GenstudioError, match="no pictures for the train split"):
        open_pictures(str(tmp_path), "train", 32, 1)
    with pytest.raises(GenstudioError, match="1 or 3 channels"):
        open_pictures(str(tmp_path), "train", 32, 4)
