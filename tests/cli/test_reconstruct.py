"""`genstudio reconstruct`: files through the bundled tokenizer and back."""

from pathlib import Path

import numpy as np
from PIL import Image

from genstudio.errors import Exit
from tests.support import genstudio


def picture(path: Path) -> Path:
    """A coat-like shape, which a tokenizer of clothing knows."""
    pixels = np.zeros((32, 32), np.uint8)
    pixels[4:28, 9:23], pixels[6:20, 5:27] = 180, 180
    Image.fromarray(pixels).save(path)
    return path


def test_a_picture_comes_back_recognisable(home: Path, tmp_path: Path) -> None:
    file = picture(tmp_path / "coat.png")
    ran = genstudio("reconstruct", "msvq-fashion", file, "-o", tmp_path / "out", "--json")
    assert ran.code == Exit.OK, ran.err
    assert ran.data["psnr"] > 15 and 0.5 < ran.data["ssim"] <= 1
    assert ran.data["pictures"][0]["picture"] == str(file)
    assert Path(ran.data["file"]).is_file()


def test_a_generator_means_its_tokenizer(home: Path, tmp_path: Path) -> None:
    file = picture(tmp_path / "coat.png")
    ran = genstudio("reconstruct", "var-fashion", file, "-o", tmp_path / "out")
    assert ran.code == Exit.OK and "PSNR" in ran.out and "msvq-fashion" in ran.out


def test_what_is_no_tokenizer_and_no_picture_is_refused(home: Path, tmp_path: Path) -> None:
    file = picture(tmp_path / "coat.png")
    assert "no tokenizer" in genstudio("reconstruct", "fashion-features", file).err
    (tmp_path / "text.png").write_text("no picture")
    ran = genstudio("reconstruct", "msvq-fashion", tmp_path / "text.png")
    assert ran.code == Exit.USAGE and "text.png" in ran.err
