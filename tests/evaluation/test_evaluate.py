"""Runs on disk: the same numbers whatever the batch, the number of processes or the number of deaths."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genstudio.errors import GenstudioError
from genstudio.evaluation.evaluate import Evaluation, Result, open_evaluation, sampled, stored
from genstudio.evaluation.plan import Plan, plan_for
from genstudio.evaluation.reference import save_reference
from genstudio.evaluation.run import Progress
from genstudio.releases import catalogue
from genstudio.studio import Studio

COUNT = 130
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures as the tiny judge takes them."""
    place = tmp_path / "pictures"
    place.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3))
    for i, picture in enumerate((levels * np.linspace(0.2, 1, COUNT)[:, None, None, None]).astype(np.uint8)):
        Image.fromarray(picture).save(place / f"{i:03d}.png")
    return place


@pytest.fixture
def reference(tmp_path: Path, folder: Path, tiny_judge: str) -> str:
    """Statistics of the pictures of `folder`."""
    evaluation = open_evaluation(files(folder, tiny_judge, None), stored(folder))
    path = tmp_path / "reference.safetensors"
    save_reference(path, evaluation.statistics(evaluation.run()))
    return str(path)


def files(folder: Path, extractor: str, reference: str | None, batch: int = 50) -> Plan:
    return Plan(source=str(folder), samples=None, extractor=extractor, reference=reference, batch=batch)


def model(name: str, extractor: str, reference: str, **asked: Any) -> Plan:
    given = {"samples": COUNT, "batch": 20, **asked}
    return plan_for(catalogue.find(name), name, extractor=extractor, reference=reference, **given)


def scored(evaluation: Evaluation, until_interval: float | None = None) -> Result:
    return evaluation.score(evaluation.run(until_interval=until_interval))


def values(result: Result) -> dict[str, float]:
    return {name: one.value for name, one in result.metrics.items()}


def test_pictures_against_themselves(folder: Path, tiny_judge: str, reference: str) -> None:
    result = scored(open_evaluation(files(folder, tiny_judge, reference), stored(folder)))
    assert result.samples == COUNT and result.facts["reference_hash"]
    found = values(result)
    assert found["frechet"] == pytest.approx(0, abs=1e-6)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert result.metrics["frechet"].label == f"Frechet distance-{COUNT} (tiny-judge)"
    assert {"frechet", "kid", "precision", "recall", "density", "coverage"} == found.keys()


def test_a_folder_or_an_npz_as_reference_makes_its_statistics(
    tmp_path: Path, folder: Path, tiny_judge: str, reference: str
) -> None:
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    np.savez(tmp_path / "samples.npz", pixels[::-1])
    by_file = scored(open_evaluation(files(folder, tiny_judge, reference), stored(folder)))
    for other in (folder, tmp_path / "samples.npz"):
        found = scored(open_evaluation(files(folder, tiny_judge, str(other)), stored(folder)))
        assert values(found) == pytest.approx(values(by_file), abs=1e-6)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_batch_of_the_extractor_does_not_show(
    batch: int, folder: Path, tiny_judge: str, tiny_var: str, reference: str
) -> None:
    half = folder.parent / "half"
    half.mkdir()
    for path in sorted(folder.iterdir())[::2]:
        path.rename(half / path.name)
    expected = scored(open_evaluation(files(half, tiny_judge, reference, batch=65), stored(half)))
    found = scored(open_evaluation(files(half, tiny_judge, reference, batch=batch), stored(half)))
    assert found.digest == expected.digest
    assert values(found) == pytest.approx(values(expected), rel=1e-5)
    assert found.metrics["frechet"].low == pytest.approx(expected.metrics["frechet"].low, rel=1e-4)


def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_been(
    tmp_path: Path, tiny_var: str, tiny_judge: str, reference: str
) -> None:
    studio, plan = Studio.load(tiny_var), model(tiny_var, tiny_judge, reference)
    whole = scored(open_evaluation(plan, sampled(studio, plan), folder=tmp_path / "whole"))

    def stop(progress: Progress) -> None:
        if progress.done > 70:
            raise KeyboardInterrupt

    broken = open_evaluation(plan, sampled(studio, plan), folder=tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        broken.run(stop)
    again = open_evaluation(plan, sampled(studio, plan), folder=tmp_path / "broken")
    assert again.extraction.missing() == COUNT - 60
    resumed = scored(again)
    assert resumed.digest == whole.digest and values(resumed) == values(whole)
    assert resumed.metrics["class_share"].value <= 1


def test_a_run_is_made_longer_without_making_its_beginning_again(
    tmp_path: Path, tiny_var: str, tiny_judge: str, reference: str
) -> None:
    studio = Studio.load(tiny_var)
    short, long = (model(tiny_var, tiny_judge, reference, samples=count) for count in (60, 100))
    scored(open_evaluation(short, sampled(studio, short), folder=tmp_path / "run"))
    evaluation = open_evaluation(long, sampled(studio, long), folder=tmp_path / "run")
    assert evaluation.extraction.missing() == 40
    fresh = scored(open_evaluation(long, sampled(studio, long), folder=tmp_path / "fresh"))
    assert scored(evaluation).digest == fresh.digest


def test_other_pictures_do_not_mix_into_a_run(
    tmp_path: Path, tiny_var: str, tiny_judge: str, reference: str
) -> None:
    studio, plan = Studio.load(tiny_var), model(tiny_var, tiny_judge, reference, samples=20)
    scored(open_evaluation(plan, sampled(studio, plan), folder=tmp_path / "run"))
    for other in (replace(plan, seed=1), replace(plan, recipe=studio.release.recipe.override(cfg=3.0))):
        with pytest.raises(GenstudioError, match="holds another run"):
            open_evaluation(other, sampled(studio, other), folder=tmp_path / "run")


def test_without_a_folder_the_cache_keeps_it_until_it_is_done(
    home: Path, tiny_var: str, tiny_judge: str, reference: str
) -> None:
    studio, plan = Studio.load(tiny_var), model(tiny_var, tiny_judge, reference, samples=40)
    evaluation = open_evaluation(plan, sampled(studio, plan))
    scored(evaluation)
    assert evaluation.extraction.shards.folder.is_relative_to(home)
    evaluation.close()
    assert not evaluation.extraction.shards.folder.exists()


def test_a_narrow_enough_interval_ends_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_var: str, tiny_judge: str, reference: str
) -> None:
    monkeypatch.setattr("genstudio.evaluation.evaluate.FIRST_LOOK", 40)
    studio, plan = Studio.load(tiny_var), model(tiny_var, tiny_judge, reference)
    loose = scored(
        open_evaluation(plan, sampled(studio, plan), folder=tmp_path / "loose"), until_interval=1e9
    )
    assert loose.samples == 40
    strict = scored(
        open_evaluation(plan, sampled(studio, plan), folder=tmp_path / "strict"), until_interval=0
    )
    assert strict.samples == COUNT


def test_metrics_that_have_no_value_are_refused_with_the_reason_before_anything_is_made(
    tmp_path: Path, folder: Path, tiny_judge: str, reference: str
) -> None:
    moments = tmp_path / "moments.npz"
    evaluation = open_evaluation(files(folder, tiny_judge, reference), stored(folder))
    save_reference(moments, evaluation.statistics(evaluation.run()))
    for metrics, why in ((("is",), "inception-v3-compat"), (("sfid",), "inception"), (("share",), "classes")):
        plan = replace(files(folder, tiny_judge, reference), metrics=metrics)
        with pytest.raises(GenstudioError, match=why):
            open_evaluation(plan, stored(folder), folder=tmp_path / "no")
    plan = replace(files(folder, tiny_judge, str(moments)), metrics=("fid", "pr"))
    with pytest.raises(GenstudioError, match=r"pr has no value here: .*moments alone"):
        open_evaluation(plan, stored(folder), folder=tmp_path / "no")
    alone = scored(open_evaluation(replace(plan, metrics=None), stored(folder), folder=tmp_path / "no"))
    assert values(alone).keys() == {"frechet"}


def test_left_out_files_are_counted_and_named(folder: Path, tiny_judge: str, reference: str) -> None:
    bad = folder / "077.png"
    bad.write_bytes(b"nothing")
    result = scored(open_evaluation(files(folder, tiny_judge, reference), stored(folder, skip_bad=True)))
    assert result.samples == COUNT - 1 and result.left_out == ("077.png",)


def test_one_picture_is_no_distribution(tmp_path: Path, tiny_judge: str, reference: str) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "a.png")
    with pytest.raises(GenstudioError, match="one picture"):
        open_evaluation(files(tmp_path / "one", tiny_judge, reference), stored(tmp_path / "one"))


def command(name: str, judge: str, reference: str, run: Path) -> list[str]:
    words = ["-m", "genstudio", "eval-fid", name, "--extractor", judge, "--reference", reference, "-n", COUNT]
    return [str(word) for word in (*words, "--batch", 10, "--resume", run, "--json", "--keep", "all")]


def test_killed_and_split_runs_leave_the_same_files(
    tmp_path: Path, home: Path, tiny_var: str, tiny_judge: str, reference: str
) -> None:
    """SIGKILL twice in the middle, then two processes finish; beside it one process alone."""
    surroundings = {**os.environ, "GENSTUDIO_HOME": str(home), "OMP_NUM_THREADS": "1"}
    words = [*command(tiny_var, tiny_judge, reference, tmp_path / "killed"), "-o", str(tmp_path / "a")]
    for shards in (2, 5):
        process = subprocess.Popen([sys.executable, *words], env=surroundings, stdout=subprocess.DEVNULL)
        while len(list((tmp_path / "killed" / "shards").glob("[0-9]*"))) < shards:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    split = subprocess.run([*LAUNCH, *words], env=surroundings, capture_output=True, check=True)
    words = [*command(tiny_var, tiny_judge, reference, tmp_path / "alone"), "-o", str(tmp_path / "b")]
    alone = subprocess.run([sys.executable, *words], env=surroundings, capture_output=True, check=True)
    first, second = (json.loads(ran.stdout) for ran in (split, alone))
    assert first["digest"] == second["digest"] and first["metrics"] == second["metrics"]
    for there in ("a", "b"):
        assert len(list((tmp_path / there / tiny_var / "pictures").iterdir())) == COUNT
    made, other = (sorted((tmp_path / there / tiny_var / "pictures").iterdir()) for there in ("a", "b"))
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in other]
