"""PNG files with their run spec: round trip, damage, disks that cannot take them."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from genstudio.errors import GenstudioError
from genstudio.media.png import read_spec, save_png

SPEC = {"model": "var-fashion", "seed": 2**53 + 1, "recipe": {"cfg": 1.5, "note": "Bär ☃"}, "until": None}


def random_picture(channels: int) -> torch.Tensor:
    return torch.randint(0, 256, (channels, 16, 12), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_and_spec_come_back(tmp_path: Path, channels: int) -> None:
    pixels_CHW = random_picture(channels)
    path = tmp_path / "new" / "a.png"
    save_png(path, pixels_CHW, SPEC)
    assert read_spec(path) == SPEC
    with Image.open(path) as image:
        assert torch.equal(pil_to_tensor(image), pixels_CHW)
        assert image.info["parameters"] == (
            f"model: var-fashion, seed: {2**53 + 1}, recipe.cfg: 1.5, recipe.note: Bär ☃"
        )


def test_pillow_pictures_and_no_spec(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", Image.new("RGB", (4, 4), "red"))
    with pytest.raises(GenstudioError, match="does not say how it was made"):
        read_spec(tmp_path / "a.png")


def test_every_truncation_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_png(path, random_picture(3), SPEC)
    whole = path.read_bytes()
    pixels_end = whole.index(b"IEND") - 16  # behind the pixels come two checksums and the end mark
    for length in range(0, pixels_end, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(GenstudioError, match=r"a\.png"):
            read_spec(path)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_spec_that_is_no_object_is_damaged(tmp_path: Path, text: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("genstudio", text)
    Image.new("L", (2, 2)).save(tmp_path / "a.png", pnginfo=chunks)
    with pytest.raises(GenstudioError, match="run spec"):
        read_spec(tmp_path / "a.png")


def test_missing_files_and_other_formats(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match="There is no file"):
        read_spec(tmp_path / "a.png")
    Image.new("L", (2, 2)).save(tmp_path / "b.jpg")
    with pytest.raises(GenstudioError, match="is no PNG"):
        read_spec(tmp_path / "b.jpg")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_png(path, random_picture(1), SPEC)
    before = path.read_bytes()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("os.fsync", side_effect=full), pytest.raises(GenstudioError, match=r"full: .*a\.png"):
        save_png(path, random_picture(1), SPEC)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenstudioError, match=r"file/a\.png cannot be written"):
        save_png(tmp_path / "file" / "a.png", random_picture(1), SPEC)


def test_a_fresh_picture_overwrites_nothing(tmp_path: Path) -> None:
    names = ["003-000001.png", "003-000001-1.png", "003-000001-2.png"]
    for shade, expected in enumerate(names):
        picture = Image.new("RGB", (4, 4), (shade, 0, 0))
        assert save_png(tmp_path / names[0], picture, fresh=True) == tmp_path / expected
    assert [Image.open(tmp_path / name).getpixel((0, 0))[0] for name in names] == [0, 1, 2]
    assert save_png(tmp_path / names[0], Image.new("RGB", (4, 4), (9, 0, 0))) == tmp_path / names[0]
    assert Image.open(tmp_path / names[0]).getpixel((0, 0))[0] == 9


def test_reading_costs_no_torch() -> None:
    code = "import sys, genstudio.media.png, genstudio.media.grid; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
