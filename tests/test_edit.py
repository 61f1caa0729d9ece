"""Edits as values: which files fit each other, which side is made anew, what metadata brings back."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from genstudio.configs.features import ClassifierConfig
from genstudio.edit import Edit, choose_edit, edit_from
from genstudio.errors import GenstudioError
from tests.releases import tiny

RELEASE = tiny.release(tiny.GENERATOR)


def painted(folder: Path, size: tuple[int, int] = (16, 8), mask_mode: str = "L") -> tuple[Path, Path]:
    """A picture, and a mask whose right half is white."""
    picture, mask = Image.new("RGB", size, "blue"), Image.new(mask_mode, size, "black")
    mask.paste("white", (size[0] // 2, 0, *size))
    for image, name in ((picture, "picture.png"), (mask, "mask.png")):
        image.save(folder / name)
    return folder / "picture.png", folder / "mask.png"


def chosen(folder: Path, **options: bool) -> Edit:
    edit = choose_edit(RELEASE, *painted(folder), **options)
    assert edit is not None
    return edit


def test_white_is_made_anew_and_outside_turns_it_round(tmp_path: Path) -> None:
    for outside in (False, True):
        anew_HW = np.asarray(chosen(tmp_path, outside=outside).anew(8))
        white, black = (0, 255) if outside else (255, 0)
        assert (anew_HW[:, 4:] == white).all() and (anew_HW[:, :4] == black).all()


def test_picture_and_mask_are_cropped_alike(tmp_path: Path) -> None:
    """The middle square of a wide picture, of which the mask's right half is as it was."""
    edit = chosen(tmp_path)
    assert edit.picture(8, 3).size == edit.anew(8).size == (8, 8)
    assert edit.picture(4, 1).mode == "L"
    assert edit.explain(4).endswith("picture.png, 16x8, cropped and resized to 4x4; 50% is made anew")
    assert edit.describe() == "white of mask.png anew in picture.png"


def test_a_turned_picture_takes_a_mask_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, mask = painted(tmp_path, (8, 16))
    Image.new("RGB", (16, 8)).save(picture, exif=exif)
    assert choose_edit(RELEASE, picture, mask) is not None


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA"])
def test_masks_of_any_kind_that_hold_grey_alone(mode: str, tmp_path: Path) -> None:
    edit = choose_edit(RELEASE, *painted(tmp_path, mask_mode=mode))
    assert edit is not None and edit.anew(8).getextrema() == (0, 255)


def test_metadata_brings_an_edit_back(tmp_path: Path) -> None:
    edit = chosen(tmp_path, paste=True)
    facts = json.loads(json.dumps(edit.facts()))
    assert edit_from(facts) == edit and edit_from(None) is None
    assert set(facts) == {"image", "mask", "outside", "paste"} and set(facts["image"]) == {"path", "sha256"}
    with pytest.raises(ValidationError):
        edit_from({**facts, "mask": "mask.png"})


def test_files_that_moved_are_found_where_one_says(tmp_path: Path) -> None:
    edit = chosen(tmp_path)
    (tmp_path / "mask.png").rename(tmp_path / "moved.png")
    with pytest.raises(GenstudioError, match=r"no file .*mask\.png") as caught:
        edit.check()
    assert "--mask FILE" in caught.value.hint
    edit.moved(None, tmp_path / "moved.png").check()


def test_files_that_changed_are_refused(tmp_path: Path) -> None:
    edit = chosen(tmp_path)
    Image.new("RGB", (16, 8), "red").save(tmp_path / "picture.png")
    with pytest.raises(GenstudioError, match=r"picture\.png is not what it was"):
        edit.check()


def test_a_mask_of_another_size_names_both(tmp_path: Path) -> None:
    picture, mask = painted(tmp_path)
    Image.new("L", (8, 8)).save(mask)
    with pytest.raises(GenstudioError, match=r"mask\.png is 8x8, but .*picture\.png is 16x8") as caught:
        choose_edit(RELEASE, picture, mask)
    assert "White is made anew, black is kept" in caught.value.hint


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (255, 0, 0)), ("RGBA", (255, 255, 255, 100))])
def test_a_mask_with_colours_or_transparency_is_refused(
    mode: str, colour: tuple[int, ...], tmp_path: Path
) -> None:
    picture, mask = painted(tmp_path)
    Image.new(mode, (16, 8), colour).save(mask)
    with pytest.raises(GenstudioError, match="has colours or transparent places"):
        choose_edit(RELEASE, picture, mask)


def test_a_file_that_is_no_picture_and_one_that_is_missing(tmp_path: Path) -> None:
    picture, mask = painted(tmp_path)
    mask.write_text("text")
    with pytest.raises(GenstudioError, match=r"mask\.png is no picture"):
        choose_edit(RELEASE, picture, mask)
    with pytest.raises(GenstudioError, match=r"no file .*absent\.png"):
        choose_edit(RELEASE, tmp_path / "absent.png", mask)


@pytest.mark.parametrize("given", [{"image": "a.png"}, {"mask": "a.png"}, {"outside": True}, {"paste": True}])
def test_half_an_edit_is_none(given: dict[str, object]) -> None:
    with pytest.raises(GenstudioError, match="needs a picture and a mask"):
        choose_edit(RELEASE, **given)  # type: ignore[arg-type]


def test_no_edit_is_asked_for() -> None:
    assert choose_edit(RELEASE) is None


def test_a_model_without_scales_keeps_nothing(tmp_path: Path) -> None:
    config = ClassifierConfig(channels=3, pixels=8, width=8, features=16, classes=10)
    with pytest.raises(GenstudioError, match="not made scale by scale"):
        choose_edit(replace(RELEASE, config=config), *painted(tmp_path))


def test_choosing_costs_no_torch() -> None:
    code = "import sys, genstudio.edit; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
