"""Pictures of users: upright, on white, resized and cropped; what cannot be read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.errors import GenstudioError
from genstudio.media.reading import fitted, read_picture, upright

ORIENTATION = 0x0112  # of Exif; 6 means that the camera was turned


def half_red(path: Path, **options: object) -> Path:
    picture = Image.new("RGB", (16, 8), "blue")
    picture.paste("red", (0, 0, 8, 8))
    picture.save(path, **options)
    return path


def test_a_turned_camera_is_turned_back(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    plain, turned = half_red(tmp_path / "a.png"), half_red(tmp_path / "b.png", exif=exif)
    assert upright(plain).size == (16, 8) and upright(turned).size == (8, 16)
    assert upright(turned).getpixel((4, 0)) == (255, 0, 0, 255)
    assert upright(turned).getpixel((4, 15)) == (0, 0, 255, 255)


def test_the_middle_is_cropped_and_the_right_size_is_untouched(tmp_path: Path) -> None:
    square = np.asarray(read_picture(half_red(tmp_path / "a.png"), 8, "RGB"))
    assert (
        square.shape == (8, 8, 3)
        and (square[:, 0] == (255, 0, 0)).all()
        and (square[:, 7] == (0, 0, 255)).all()
    )
    exact = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(exact).save(tmp_path / "b.png")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "b.png", 8, "L")), exact)


def test_transparent_is_white() -> None:
    assert fitted(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), 4, "L").getextrema() == (255, 255)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    for path in (tmp_path / "a.png", tmp_path / "absent.png", tmp_path):
        with pytest.raises(GenstudioError, match=str(path)):
            upright(path)


def test_reading_costs_no_torch() -> None:
    code = "import sys, genstudio.media.reading; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
