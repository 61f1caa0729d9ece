"""A release of MAR in the studio and on the command line: sampled, previewed, edited, sized, refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from genstudio.errors import Exit, GenstudioError
from genstudio.events import Advance, Event, Picture
from genstudio.measure.memory import estimate, held
from genstudio.measure.work import work
from genstudio.releases import catalogue, weights
from genstudio.releases.pairing import pixels_of, tokenizer_of
from genstudio.releases.verify import verify_release
from genstudio.request import Request, Wanted
from genstudio.runtime import Runtime
from genstudio.samplers.guidance import Guidance, Linear
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.steps import DDPM, Annealed, Denoising, Fixed
from genstudio.studio import Studio
from tests.releases import tiny
from tests.support import genstudio

RECIPE = Recipe(guidance=Guidance(cfg=2.0, ramp=Linear()), steps=8, head=Denoising(steps=Fixed(6)))


@pytest.fixture
def name(home: Path) -> str:
    """A generator of 4x4 tokens with its tokenizer of 4 pixels a token, installed."""
    generator = replace(tiny.release(tiny.MASKED, "tiny-mar"), tokenizer="tiny-kl", recipe=RECIPE)
    for release in (generator, tiny.release(tiny.KL, "tiny-kl")):
        network = tiny.network(release.config)
        with torch.no_grad():
            for value in network.parameters():
                value.mul_(0.1)
        weights.save_release(home / "models" / release.name, network, release)
    return "tiny-mar"


def events(studio: Studio, wanted: tuple[Wanted, ...], batch: int) -> Iterator[Event]:
    return studio.stream(Request(model="m", pictures=wanted, recipe=studio.release.recipe, batch=batch))


def test_pictures_are_the_same_in_any_batch(name: str) -> None:
    studio, wanted = Studio.load(name), tuple(Wanted(label, 50 + label) for label in range(3))
    studio.generator.double()
    studio.tokenizer.double()
    together, alone = (
        [event.pixels_CHW for event in events(studio, wanted, batch) if isinstance(event, Picture)]
        for batch in (3, 1)
    )
    assert [tuple(one.shape) for one in together] == [(3, 16, 16)] * 3
    assert all(a.equal(b) for a, b in zip(together, alone, strict=True))
    assert not together[0].equal(together[1])


def test_masked_places_are_grey_in_previews_and_fill(name: str) -> None:
    studio, grey, shown = Studio.load(name), list[int](), None
    for event in events(studio, (Wanted(3, 1),), 1):
        if isinstance(event, Advance):
            shown = event.preview()[0]
            blocks = shown.unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
            grey.append(int((blocks == 128).all(-1).all(0).sum()))
            assert grey[-1] == event.total - event.done
        elif isinstance(event, Picture):
            assert shown is not None and shown.equal(event.pixels_CHW)
    assert grey == [15, 14, 13, 11, 8, 6, 3, 0]


def test_schedules_come_from_the_command_line_and_stay_in_the_picture(name: str, tmp_path: Path) -> None:
    flags = ("-c", "3", "--no-grid", "-o", tmp_path, "--json")
    ran = genstudio("sample", name, *flags, "--steps", 5, "--head-steps", "4:2:cosine", "--temperature", 0.9)
    assert ran.code == Exit.OK, ran.err
    (path,) = (entry["file"] for entry in ran.data["pictures"])
    first = Image.open(path).tobytes()
    again = genstudio("sample", "--from", path, "-o", tmp_path / "again", "--json")
    assert again.code == Exit.OK, again.err
    assert Image.open(again.data["pictures"][0]["file"]).tobytes() == first
    other = genstudio("sample", name, *flags, "--steps", 5, "--head-steps", "4:2")
    assert Image.open(other.data["pictures"][0]["file"]).tobytes() != first


def test_a_schedule_that_anneals_takes_the_chain_of_disa_with_it() -> None:
    annealed = RECIPE.override(head_steps="50:5")
    assert annealed.head == Denoising(steps=Annealed(50, 5), chain=DDPM(clip=950))
    assert RECIPE.override(head_steps="25").head == Denoising(steps=Fixed(25))
    assert annealed.describe() == "cfg 2 (linear), 8 steps, 50:5 steps a code (ddpm), temperature 1"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--head-steps", "0"), "takes one step at least"),
        (("--head-steps", "5:50"), "the larger count first"),
        (("--head-steps", "50:5:steep"), "is no schedule"),
        (("--head-steps", "1001"), "more steps than there are"),
        (("--steps", "17"), "17 steps cannot make 16 tokens"),
        (("--steps", "0"), "--steps 0 is out of range"),
        (("--top-k", "5"), "draws numbers and no ids"),
        (("--temperature", "0"), "--temperature 0"),
    ],
)
def test_what_means_nothing_is_refused_before_weights_load(
    name: str, home: Path, flags: tuple[str, str], says: str
) -> None:
    (home / "models" / name / "model.safetensors").unlink()
    ran = genstudio("sample", name, "-c", "3", *flags)
    assert ran.code == Exit.USAGE
    assert says in ran.err


def test_models_of_ids_have_no_head_steps(tiny_var: str) -> None:
    ran = genstudio("sample", tiny_var, "--head-steps", "50:5")
    assert ran.code == Exit.USAGE and "no head that denoises" in ran.err


def test_latents_that_are_no_numbers_are_an_error(name: str) -> None:
    studio = Studio.load(name)
    torch.nn.init.constant_(studio.generator.get_parameter("head.output_proj.bias"), float("nan"))
    with pytest.raises(GenstudioError, match="samples latents of NaN") as caught:
        studio.sample(classes=0)
    assert caught.value.code == Exit.CHECK


def test_a_tokenizer_of_other_latents_is_refused(name: str, home: Path) -> None:
    wide = replace(tiny.release(replace(tiny.KL, code_width=8), "tiny-wide"))
    weights.save_release(home / "models" / "tiny-wide", tiny.network(wide.config), wide)
    with pytest.raises(GenstudioError, match="tiny-wide is no tokenizer for tiny-mar"):
        tokenizer_of(replace(catalogue.find(name), tokenizer="tiny-wide"))


def test_an_edit_keeps_what_the_mask_keeps(name: str, tmp_path: Path) -> None:
    """With the kept pixels put back; two seeds differ where the mask is white alone."""
    levels = torch.arange(256).view(16, 16, 1).expand(-1, -1, 3).byte().numpy()
    Image.fromarray(levels).save(tmp_path / "picture.png")
    mask = torch.zeros(16, 16, dtype=torch.uint8)
    mask[:, 8:] = 255
    Image.fromarray(mask.numpy()).save(tmp_path / "mask.png")
    studio = Studio.load(name)
    files = {"image": tmp_path / "picture.png", "mask": tmp_path / "mask.png", "paste": True}
    made = [studio.sample(classes=2, seed=seed, **files)[0].pixels_CHW for seed in (1, 2)]
    assert made[0][0, :, :8].equal(torch.from_numpy(levels.copy())[:, :8, 0])
    assert not made[0][:, :, 8:].equal(made[1][:, :, 8:])


def test_memory_is_known_before_anything_is_loaded(name: str) -> None:
    release = catalogue.find(name)
    known = held(release, batch=3, dtype="float32")
    assert known.cache == 0
    assert known.weights == sum(
        4 * value.numel()
        for one in (release, tokenizer_of(release))
        for value in tiny.network(one.config).state_dict().values()
    )
    assert estimate(release, 3, "float32").total > known.total


def test_the_work_of_a_head_is_that_of_all_its_steps(name: str) -> None:
    """Two operations a weight, of its blocks for 16 tokens and their null rows, of its time once a unit."""
    release = catalogue.find(name)
    recipes = [RECIPE.override(steps=2, head_steps=steps) for steps in ("3", "8", "8:3")]
    few, many, annealed = (work(release, 1, "float32", recipe).transformer for recipe in recipes)
    width, depth, channels, units = 16, 2, 4, 2
    a_token = depth * 5 * width**2 + 2 * width**2 + 3 * channels * width
    assert many - few == (8 - 3) * 2 * (32 * a_token + units * (256 * width + width**2))
    assert few < annealed < many


def test_a_release_is_verified_by_the_noise_that_it_finds(name: str, home: Path) -> None:
    release = catalogue.find(name)
    Image.new("RGB", (16, 16), "red").save(home / "models" / name / "picture.png")
    checks = {one.name: one for one in verify_release(release, tokenizer_of(release), Runtime())}
    assert checks["loss"].found.endswith("of the variance of noise; less than 1.000 is expected")


def test_the_size_of_pictures_is_that_of_all_cells() -> None:
    assert pixels_of(catalogue.find("mar-b")) == 256
