"""Zero-shot editing: which codes are kept, and what pictures keep of the given one."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from genstudio.edit import choose_edit
from genstudio.editing import known_places, open_canvas
from genstudio.errors import GenstudioError
from genstudio.evaluation.reconstruction import round_trip
from genstudio.studio import Studio

SIZES = (1, 2, 4)
KEPT, ANEW = "black", "white"


@pytest.fixture
def studio(tiny_var: str) -> Studio:
    """The tiny generator in float64, where sums do not depend on the batch."""
    studio = Studio.load(tiny_var)
    studio.generator.double()
    studio.tokenizer.double()
    return studio


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of the tiny model's size."""
    pixels_HWC = torch.randint(0, 256, (8, 8, 3), generator=torch.Generator().manual_seed(3))
    Image.fromarray(pixels_HWC.to(torch.uint8).numpy()).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def mask(folder: Path, colour: str, left: str | int | None = None) -> Path:
    """A mask of one colour, or with another left half."""
    image = Image.new("L", (8, 8), colour)
    if left is not None:
        image.paste(left, (0, 0, 4, 8))
    image.save(folder / "mask.png")
    return folder / "mask.png"


def by_scale(known_L: torch.Tensor) -> list[torch.Tensor]:
    return [
        known_n.view(p, p) for known_n, p in zip(known_L.split([p * p for p in SIZES]), SIZES, strict=True)
    ]


def test_a_place_is_kept_where_more_than_half_of_it_is() -> None:
    kept_HW = torch.zeros(8, 8)
    kept_HW[:, :4] = 1
    kept_HW[0:2, 4:6] = 0.51
    kept_HW[2:4, 4:6] = 0.5
    finest = by_scale(known_places(kept_HW, SIZES))[2]
    assert finest.tolist() == [[True, True, True, False]] + [[True, True, False, False]] * 3


def test_scales_of_at_most_three_codes_are_always_kept() -> None:
    one, four, _ = by_scale(known_places(torch.zeros(8, 8), SIZES))
    assert one.all() and not four.any()
    assert known_places(torch.ones(8, 8), SIZES).all()


def test_coarse_scales_look_at_the_middle_of_their_cells() -> None:
    """Bilinear without smoothing, from the finest map: a 1-cell frame around 8 x 8 cells is lost at 2 x 2."""
    kept_HW = torch.ones(8, 8)
    kept_HW[1:7, 1:7] = 0
    _, two, eight = known_places(kept_HW, (1, 2, 8)).split([1, 4, 64])
    assert not two.any() and int(eight.sum()) == 28


def test_every_pixel_of_a_cell_counts() -> None:
    """Between the points that bilinear resizing would look at: here the corners of cells of 4 x 4 pixels."""
    kept_HW = torch.ones(16, 16)
    kept_HW[0, :4] = kept_HW[3, :4] = 0
    finest = by_scale(known_places(kept_HW, SIZES))[2]
    assert not finest[0, 0] and int(finest.sum()) == 15


def test_all_kept_is_the_tokenizers_round_trip(studio: Studio, picture: Path) -> None:
    (made,) = studio.sample(image=picture, mask=mask(picture.parent, KEPT))
    given_1CHW = pil_to_tensor(Image.open(picture))[None]
    codes = studio.tokenizer.encode(given_1CHW.double() / 255 * 2 - 1)
    x_1CHW = studio.tokenizer.decode(studio.tokenizer.latents(codes)).clamp(-1, 1)
    assert made.pixels_CHW.equal(((x_1CHW + 1) / 2 * 255).round().to(torch.uint8)[0])
    again = Studio.load(studio.release.name)
    (plain,) = again.sample(image=picture, mask=mask(picture.parent, KEPT))
    assert plain.pixels_CHW.equal(round_trip(again.tokenizer, given_1CHW, again.release.pixels)[0])


def test_nothing_kept_forgets_all_but_the_first_code(studio: Studio, picture: Path) -> None:
    """Any picture of the same first code leads to the same result: nothing else of it is seen."""
    edit = choose_edit(studio.release, picture, mask(picture.parent, ANEW))
    assert edit is not None
    known_1L = open_canvas(edit, studio.tokenizer, studio.release.pixels).codes.known_BL
    assert known_1L is not None and known_1L.nonzero().tolist() == [[0, 0]]


def test_kept_codes_stand_at_every_scale_and_the_rest_is_new(studio: Studio, picture: Path) -> None:
    edit = choose_edit(studio.release, picture, mask(picture.parent, ANEW, left=KEPT))
    assert edit is not None
    codes = open_canvas(edit, studio.tokenizer, studio.release.pixels).codes
    seen: list[torch.Tensor] = []
    latents = studio.tokenizer.latents

    def spy(codes: object) -> torch.Tensor:
        seen.append(torch.cat(codes.data, dim=1))  # type: ignore[attr-defined]
        return latents(codes)  # type: ignore[arg-type]

    studio.tokenizer.latents = spy  # type: ignore[method-assign, assignment]
    studio.sample("3", n=4, image=picture, mask=edit.mask.path)
    given_1L, known_1L = torch.cat(codes.data, dim=1), codes.known_BL
    assert known_1L is not None
    for made_L in seen[0]:
        assert made_L[known_1L[0]].equal(given_1L[known_1L])
        assert not made_L[~known_1L[0]].equal(given_1L[~known_1L])
    for known in by_scale(known_1L[0])[1:]:
        half = known.shape[1] // 2
        assert known[:, :half].all() and not known[:, half:].any()


def test_an_edit_does_not_depend_on_its_batch(studio: Studio, picture: Path) -> None:
    half = mask(picture.parent, ANEW, left=KEPT)
    together = studio.sample("1,4", n=3, seed=5, image=picture, mask=half)
    alone = studio.sample("4", n=1, seed=9, image=picture, mask=half)
    assert together[4].wanted == alone[0].wanted
    assert together[4].pixels_CHW.equal(alone[0].pixels_CHW)
    assert not together[3].pixels_CHW.equal(alone[0].pixels_CHW)


def test_without_a_class_an_edit_is_made_of_none(studio: Studio, picture: Path) -> None:
    half = mask(picture.parent, ANEW, left=KEPT)
    (made,) = studio.sample(seed=2, image=picture, mask=half)
    assert made.wanted.label is None and made.name == "none"
    (same,) = studio.sample("none", seed=2, image=picture, mask=half)
    assert made.pixels_CHW.equal(same.pixels_CHW)


def test_pasting_puts_kept_pixels_back_and_mixes_grey(studio: Studio, picture: Path) -> None:
    given_CHW = pil_to_tensor(Image.open(picture))
    for left, share in ((KEPT, 0.0), (51, 0.2)):
        half = mask(picture.parent, ANEW, left=left)
        (plain,), (pasted,) = (
            studio.sample("1", image=picture, mask=half, paste=paste) for paste in (False, True)
        )
        assert pasted.pixels_CHW[..., 4:].equal(plain.pixels_CHW[..., 4:])
        mixed = (given_CHW + share * (plain.pixels_CHW.float() - given_CHW)).round().to(torch.uint8)
        assert pasted.pixels_CHW[..., :4].equal(mixed[..., :4])


def test_a_picture_of_no_class_cannot_be_judged(studio: Studio, tiny_judge: str) -> None:
    with pytest.raises(GenstudioError, match="no class cannot be judged"):
        studio.sample("none", best_of=2, judge=tiny_judge)
