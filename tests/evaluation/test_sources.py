"""Sources of pictures: what stands at an index, and clear words for files that do not fit."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from genstudio.errors import GenstudioError
from genstudio.evaluation.plan import plan_for
from genstudio.evaluation.sources import Array, Files, Sampled, in_proportion
from genstudio.events import Picture
from genstudio.releases import catalogue
from genstudio.request import Request, from_spec
from genstudio.studio import Studio


def ignore(_: float) -> None:
    """Nobody watches."""


def write(folder: Path, count: int, size: tuple[int, int] = (8, 8)) -> torch.Tensor:
    """`count` PNGs in subfolders; their pixels in the order of their names."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        path = folder / f"class{i // 3}" / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())


def test_files_are_read_untouched_in_the_order_of_their_names(tmp_path: Path) -> None:
    pixels = write(tmp_path, 7)
    source = Files(tmp_path, channels=3)
    assert len(source) == 7 and source.classes is None
    assert torch.equal(source.take(range(2, 6), ignore).pixels_NCHW, pixels[2:6])
    grey = Files(tmp_path, channels=1).take(range(1), ignore).pixels_NCHW
    assert grey.shape == (1, 1, 8, 8)


def test_transparent_pictures_stand_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    taken = Files(tmp_path, channels=3).take(range(1), ignore)
    assert (taken.pixels_NCHW == 255).all()


def test_mixed_sizes_are_named(tmp_path: Path) -> None:
    write(tmp_path, 3)
    Image.new("RGB", (9, 8)).save(tmp_path / "grid.png")
    source = Files(tmp_path, channels=3)
    with pytest.raises(GenstudioError, match=r"Mixed sizes: .*grid\.png has 9x8 pixels, .* 8x8"):
        source.take(range(len(source)), ignore)


def test_a_corrupt_file_is_named_and_left_out_only_when_asked(tmp_path: Path) -> None:
    pixels = write(tmp_path, 5)
    bad = tmp_path / "class0" / "0001.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(GenstudioError, match=r"0001\.png is no picture") as caught:
        Files(tmp_path, channels=3).take(range(5), ignore)
    assert "--skip-bad" in caught.value.hint
    taken = Files(tmp_path, channels=3, skip_bad=True).take(range(5), ignore)
    assert taken.left_out == ("class0/0001.png",)
    assert torch.equal(taken.pixels_NCHW, pixels[[0, 2, 3, 4]])


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(GenstudioError, match="holds no pictures"):
        Files(tmp_path, channels=3)


@pytest.mark.parametrize("compressed", [False, True])
def test_an_npz_is_read_in_pieces(tmp_path: Path, compressed: bool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (11, 6, 5, 3), dtype=np.uint8)
    path = tmp_path / "samples.npz"
    (np.savez_compressed if compressed else np.savez)(path, pixels)
    source = Array(path)
    assert len(source) == 11 and Array.looks_like(path)
    assert (source.take(range(4, 9), ignore).pixels_NCHW.numpy() == pixels[4:9].transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 4, 4, 3), np.float32), np.zeros((3, 3, 4, 4), np.uint8), np.zeros(5, np.uint8)],
)
def test_other_arrays_are_told_what_is_wanted(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, array)
    with pytest.raises(GenstudioError, match=r"not uint8 \[N,H,W,3\]"):
        Array(path)


def test_statistics_damaged_files_and_code_are_no_samples(tmp_path: Path) -> None:
    statistics = tmp_path / "statistics.npz"
    np.savez(statistics, mu=np.zeros(3), sigma=np.eye(3))
    assert not Array.looks_like(statistics)
    with pytest.raises(GenstudioError, match=r"statistics\.npz"):
        Array(statistics)
    (tmp_path / "half.npz").write_bytes(statistics.read_bytes()[:50])
    with pytest.raises(GenstudioError, match=r"half\.npz"):
        Array(tmp_path / "half.npz")
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "pickle.npz", "w") as archive:
        archive.writestr("arr_0.npy", pickled.getvalue())
    with pytest.raises(GenstudioError):
        Array(tmp_path / "pickle.npz")


def test_pictures_are_resized_before_they_become_levels_where_the_protocol_says_so(tiny_var: str) -> None:
    """The model's own pictures have 8 x 8; what is scored can be made again from its spec."""
    asked = {"extractor": "x", "reference": "y", "samples": 3}
    studio, plan = Studio.load(tiny_var), plan_for(catalogue.find(tiny_var), tiny_var, **asked)
    values: list[torch.Tensor] = []
    hook = studio.tokenizer.decoder.register_forward_hook(lambda *call: values.append(call[-1]))
    taken = Sampled(studio, replace(plan, side=4)).take(range(3), ignore)
    hook.remove()
    small = F.interpolate(torch.cat(values), (4, 4), mode="bicubic")
    expected = ((small + 1) / 2 * 255).clamp(0, 255).round().to(torch.uint8)
    assert taken.pixels_NCHW.equal(expected)
    again = from_spec(taken.specs[1])
    assert again.side == 4 and next(pictures(studio, again)).equal(taken.pixels_NCHW[1])
    whole = Sampled(studio, plan).take(range(3), ignore).pixels_NCHW
    assert whole.shape == (3, 3, 8, 8)
    assert (
        not F.interpolate(whole.float(), (4, 4), mode="bicubic").clamp(0, 255).round().equal(expected.float())
    )


def pictures(studio: Studio, request: Request) -> Iterator[torch.Tensor]:
    return (event.pixels_CHW for event in studio.stream(request) if isinstance(event, Picture))


def test_balanced_labels_go_round_so_that_any_beginning_is_balanced(tiny_var: str) -> None:
    plan = plan_for(catalogue.find(tiny_var), tiny_var, extractor="x", reference="y", samples=25, seed=100)
    source = Sampled(Studio.load(tiny_var), plan)
    assert [one.label for one in source.request.pictures] == [i % 10 for i in range(25)]
    assert [one.seed for one in source.request.pictures] == list(range(100, 125))


def test_random_labels_depend_on_the_seed_of_the_picture_alone(tiny_var: str) -> None:
    def labels(seed: int, samples: int) -> list[int]:
        asked = {"extractor": "x", "reference": "y", "labels": "random", "seed": seed, "samples": samples}
        plan = plan_for(catalogue.find(tiny_var), tiny_var, **asked)
        return [one.label for one in Sampled(studio, plan).request.pictures]

    studio = Studio.load(tiny_var)
    assert labels(0, 500)[100:] == labels(100, 400)
    counts = np.bincount(labels(0, 5_000), minlength=10)
    # chi-square with 9 degrees of freedom: 27.9 is exceeded once in 1,000 times
    assert (((counts - 500) ** 2) / 500).sum() < 27.9


def test_training_labels_keep_the_proportions_of_the_classes_in_any_beginning(tiny_var: str) -> None:
    counts = (1, 0, 6, 2, 3)
    labels = in_proportion(counts, 1_200)
    for length in (1, 7, 12, 100, 1_200):
        found = np.bincount(labels[:length], minlength=len(counts))
        assert np.abs(found - np.array(counts) * length / sum(counts)).max() < 1.5
    assert np.bincount(labels, minlength=5).tolist() == [100, 0, 600, 200, 300]


def test_training_labels_need_a_release_that_knows_them(tiny_var: str) -> None:
    release = replace(catalogue.find(tiny_var), trained=None)
    plan = plan_for(release, tiny_var, extractor="x", reference="y", labels="training", samples=3)
    studio = Studio.load(tiny_var)
    studio.release = release
    with pytest.raises(GenstudioError, match="does not say how often"):
        Sampled(studio, plan)


def test_a_picture_is_the_one_that_sample_makes(tiny_var: str) -> None:
    studio = Studio.load(tiny_var)
    plan = plan_for(catalogue.find(tiny_var), tiny_var, extractor="x", reference="y", samples=6, batch=3)
    taken = Sampled(studio, plan).take(range(3, 6), ignore)
    assert taken.labels_N is not None and taken.labels_N.tolist() == [3, 4, 5]
    for row, index in enumerate(range(3, 6)):
        alone = studio.sample(classes=index, seed=index)[0]
        assert (taken.pixels_NCHW[row].int() - alone.pixels_CHW.int()).abs().max() <= 1
        assert taken.specs[row]["pictures"] == [[index, index]]
