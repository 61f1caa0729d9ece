"""`genstudio reconstruct`: files through the bundled tokenizer and back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genstudio.configs.llamagen import LlamaGenConfig
from genstudio.errors import Exit
from genstudio.releases import weights
from tests.releases import tiny
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


@pytest.fixture
def grid_vq(home: Path) -> str:
    """The name of a generator of 5 x 5 codes with a tokenizer for 16 px, four pixels a code."""
    generator = LlamaGenConfig(depth=1, width=8, heads=1, hidden=8, vocab=32, side=5, classes=10)
    pair = tiny.release(tiny.GRID_VQ, "grid-vq"), tiny.release(generator, "of-codes")
    for release in (pair[0], replace(pair[1], tokenizer="grid-vq")):
        network = tiny.network(release.config)
        weights.save_release(home / "models" / release.name, network, release)
    return "grid-vq"


def test_any_kind_of_tokenizer_is_sent_through_at_the_size_of_the_model_named(
    grid_vq: str, tmp_path: Path
) -> None:
    file = picture(tmp_path / "coat.png")
    widths = {}
    for model in (grid_vq, "of-codes"):
        ran = genstudio("reconstruct", model, file, file, "-o", tmp_path / model, "--json")
        assert ran.code == Exit.OK, ran.err
        assert ran.data["model"] == grid_vq and len(ran.data["pictures"]) == 2
        with Image.open(ran.data["file"]) as sheet:
            widths[model] = sheet.width
    assert widths["of-codes"] - widths[grid_vq] == 2 * 4 * (20 - 16), "two pictures, four times as large"


def test_what_is_no_tokenizer_and_no_picture_is_refused(home: Path, tmp_path: Path) -> None:
    file = picture(tmp_path / "coat.png")
    assert "no tokenizer" in genstudio("reconstruct", "fashion-features", file).err
    (tmp_path / "text.png").write_text("no picture")
    ran = genstudio("reconstruct", "msvq-fashion", tmp_path / "text.png")
    assert ran.code == Exit.USAGE and "text.png" in ran.err
