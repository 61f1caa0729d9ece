"""Best of several candidates: the likeliest wins, in any batch, and is a plain picture of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genstudio.errors import Exit, GenstudioError
from genstudio.events import Advance, Picture
from genstudio.media.png import read_spec
from genstudio.releases import catalogue
from genstudio.request import Request, Wanted
from genstudio.selection import STRIDE, Selection, candidate, choose_selection
from genstudio.studio import Studio
from tests.support import genstudio

PICTURES = tuple(Wanted(i % 10, 70 + i) for i in range(12))


def stream(studio: Studio, batch: int, selection: Selection | None = None) -> list[Picture]:
    return made(studio, PICTURES, batch, selection)


def made(
    studio: Studio, pictures: tuple[Wanted, ...], batch: int, selection: Selection | None = None
) -> list[Picture]:
    recipe = studio.release.recipe
    request = Request(model="m", pictures=pictures, recipe=recipe, batch=batch, selection=selection)
    return [event for event in studio.stream(request) if isinstance(event, Picture)]


def in_float64(name: str) -> Studio:
    studio = Studio.load(name)
    studio.generator.double()
    studio.tokenizer.double()
    return studio


def candidates(studio: Studio, name: str, count: int) -> dict[Wanted, list[tuple[float, Picture]]]:
    """Every candidate of every picture, made plainly, with the probability of its class."""
    found: dict[Wanted, list[tuple[float, Picture]]] = {wanted: [] for wanted in PICTURES}
    judge = studio._judge(name)
    for attempt in range(count):
        pictures = made(studio, tuple(candidate(one, attempt) for one in PICTURES), 12)
        for wanted, p, picture in zip(PICTURES, judge.probabilities(pictures), pictures, strict=True):
            found[wanted].append((p, picture))
    return found


def test_the_likeliest_candidate_wins(tiny_var: str, tiny_judge: str) -> None:
    studio = in_float64(tiny_var)
    chosen = stream(studio, 5, Selection(best_of=4, judge=tiny_judge))
    every = candidates(studio, tiny_judge, 4)
    assert [picture.position for picture in chosen] == list(range(len(PICTURES)))
    for wanted, picture in zip(PICTURES, chosen, strict=True):
        odds, best = max(every[wanted], key=lambda one: one[0])
        assert picture.choice is not None and picture.choice.probability == pytest.approx(odds, rel=1e-5)
        assert picture.wanted == best.wanted == candidate(wanted, picture.choice.attempt)
        assert picture.pixels_CHW.equal(best.pixels_CHW)
    assert len({picture.choice.attempt for picture in chosen if picture.choice}) > 1


def test_the_first_candidate_that_is_likely_enough_wins(tiny_var: str, tiny_judge: str) -> None:
    studio = in_float64(tiny_var)
    every = candidates(studio, tiny_judge, 3)
    accept = sorted(p for tries in every.values() for p, _ in tries)[len(PICTURES) * 3 // 2]
    for wanted, picture in zip(
        PICTURES, stream(studio, 5, Selection(best_of=3, judge=tiny_judge, accept=accept)), strict=True
    ):
        enough = [one for one in every[wanted] if one[0] >= accept]
        _, expected = enough[0] if enough else max(every[wanted], key=lambda one: one[0])
        assert picture.wanted == expected.wanted and picture.pixels_CHW.equal(expected.pixels_CHW)


@pytest.mark.parametrize("accept", [None, 0.1])
def test_the_choice_does_not_depend_on_the_batch(
    tiny_var: str, tiny_judge: str, accept: float | None
) -> None:
    studio, selection = in_float64(tiny_var), Selection(best_of=3, judge=tiny_judge, accept=accept)
    whole, single = (stream(studio, batch, selection) for batch in (12, 1))
    for a, b in zip(whole, single, strict=True):
        assert a.wanted == b.wanted and a.pixels_CHW.equal(b.pixels_CHW)


def test_one_candidate_is_the_plain_picture(tiny_var: str, tiny_judge: str) -> None:
    studio = Studio.load(tiny_var)
    certain = Selection(best_of=3, judge=tiny_judge, accept=1e-300)
    for plain, chosen in zip(stream(studio, 5), stream(studio, 5, certain), strict=True):
        assert plain.pixels_CHW.equal(chosen.pixels_CHW) and plain.wanted == chosen.wanted


def test_steps_of_all_candidates_are_told_and_shown(tiny_var: str, tiny_judge: str) -> None:
    studio = Studio.load(tiny_var)
    selection = Selection(best_of=3, judge=tiny_judge, accept=0.1)
    request = Request(
        model="m", pictures=PICTURES[:4], recipe=studio.release.recipe, batch=4, selection=selection
    )
    shares, steps = [], []
    for event in studio.stream(request):
        if isinstance(event, Advance):
            assert event.preview().shape == (4, 3, 8, 8)
            shares.append(event.done / event.total)
            steps.append(event.step)
    assert shares == sorted(shares) and shares[-1] <= 1
    assert steps == list(range(len(steps)))


def test_a_chosen_picture_replays_as_a_plain_one(tiny_var: str, tiny_judge: str, tmp_path: Path) -> None:
    flags = ("--best-of", 4, "--accept", 0.2, "--judge", tiny_judge, "--batch", 3)
    first = genstudio("sample", tiny_var, "-n", 7, *flags, "-o", tmp_path, "--json").data
    assert any(entry["seed"] >= STRIDE for entry in first["pictures"])
    for entry in first["pictures"]:
        spec = read_spec(Path(entry["file"]))
        assert spec["selection"] == entry["selection"]
        assert spec["selection"]["best_of"] == 4 and spec["selection"]["judge"] == tiny_judge
        assert len(spec["selection"]["judge_weights"]) == 64
        ran = genstudio("sample", "--from", entry["file"], "-o", tmp_path / "again", "--json")
        (again,) = ran.data["pictures"]
        assert again["seed"] == entry["seed"]
        pixels = [np.asarray(Image.open(one["file"])) for one in (entry, again)]
        assert np.array_equal(*pixels)


def test_a_grid_of_the_best_replays(tiny_var: str, tiny_judge: str, tmp_path: Path) -> None:
    flags = ("-n", 5, "--best-of", 3, "--judge", tiny_judge, "--batch", 2)
    first = genstudio("sample", tiny_var, *flags, "-o", tmp_path, "--json").data
    again = genstudio("sample", "--from", first["grid"], "-o", tmp_path / "b", "--json").data
    sheets = [np.asarray(Image.open(one["grid"])) for one in (first, again)]
    assert np.array_equal(*sheets)


def test_python_takes_the_same_options(tiny_var: str, tiny_judge: str, tmp_path: Path) -> None:
    flags = ("-c", 3, "--best-of", 3, "--judge", tiny_judge)
    (entry,) = genstudio("sample", tiny_var, *flags, "-o", tmp_path, "--json").data["pictures"]
    (picture,) = Studio.load(tiny_var).sample(classes=3, best_of=3, judge=tiny_judge)
    assert picture.wanted.seed == entry["seed"]
    assert np.array_equal(np.asarray(picture.image), np.asarray(Image.open(entry["file"])))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--best-of", "0"], ["--best-of"]),
        (["--accept", "0.9"], ["one candidate", "--best-of 2"]),
        (["--best-of", "2"], ["No classifier is known", "--judge"]),
        (["--best-of", "2", "--judge", "tiny-judge", "--accept", "1.5"], ["--accept 1.5"]),
        (["--best-of", "2", "--judge", "fashion-features"], ["knows other classes than tiny-var"]),
        (["--best-of", "2", "--judge", "tiny-vq"], ["no classifier"]),
        (["--best-of", "2", "--judge", "tiny-jugde"], ["Did you mean tiny-judge"]),
        (
            ["--best-of", "2", "--judge", "tiny-judge", "-c", "1", "--seed", f"0,{STRIDE}"],
            ["share candidates"],
        ),
        (["--best-of", "2", "--judge", "tiny-judge", "-c", "1", "--seed", str(2**63 - 1)], ["64 bits"]),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_weights_load(
    tiny_var: str, tiny_judge: str, home: Path, tmp_path: Path, flags: list[str], words: list[str]
) -> None:
    for name in (tiny_var, tiny_judge):
        (home / "models" / name / "model.safetensors").unlink()
    ran = genstudio("sample", tiny_var, *flags, "-o", tmp_path / "o")
    assert ran.code == Exit.USAGE and all(word in ran.err for word in words), ran.err


def test_a_replay_chooses_nothing(tiny_var: str, tmp_path: Path) -> None:
    genstudio("sample", tiny_var, "-c", "1", "-o", tmp_path)
    ran = genstudio("sample", "--from", tmp_path / tiny_var / "001-000000.png", "--best-of", "2")
    assert ran.code == Exit.USAGE and "candidate" in ran.err


def test_the_judge_is_the_extractor_of_the_protocol(home: Path) -> None:
    release = catalogue.find("var-fashion")
    assert choose_selection(release, 4) == Selection(best_of=4, judge="fashion-features")
    assert choose_selection(release) is None
    with pytest.raises(GenstudioError, match="No classifier is known"):
        choose_selection(catalogue.find("var-d16"), 4)
    with pytest.raises(GenstudioError, match="other classes"):
        choose_selection(catalogue.find("var-d16"), 4, judge="fashion-features")


def test_candidates_of_a_run_never_meet() -> None:
    wanted = [Wanted(3, seed) for seed in range(1000)]
    seeds = [candidate(one, attempt).seed for one in wanted for attempt in range(16)]
    assert len(set(seeds)) == len(seeds) == 16_000
    assert candidate(wanted[7], 0) == wanted[7]
    with pytest.raises(GenstudioError, match="share candidates"):
        Selection(best_of=2, judge="x").check([Wanted(1, 5), Wanted(1, 5 + STRIDE)])
    Selection(best_of=2, judge="x").check([Wanted(1, 5), Wanted(2, 5 + STRIDE), Wanted(1, 5)])


def test_best_of_raises_the_class_share(home: Path) -> None:
    """What it is for, on the bundled model, by the judge's own word."""
    studio = Studio.load("var-fashion")
    judge = studio._judge("fashion-features")
    plain, best = (studio.sample(n=30, seed=0, batch=30, best_of=n) for n in (1, 3))
    means = [torch.tensor(judge.probabilities(pictures)).mean() for pictures in (plain, best)]
    assert means[1] > means[0] + 0.02
