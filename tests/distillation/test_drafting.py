"""Drafters are distilled: they learn, load as what drafts for their teacher, and refuse what does not fit."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from genstudio.distillation.drafting import check_teacher, prepare_drafter
from genstudio.errors import Exit, GenstudioError
from genstudio.generators.drafter import Drafter
from genstudio.generators.llamagen import LlamaGen
from genstudio.processes import Processes
from genstudio.releases import catalogue, weights
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.samplers.speculate.eagle import target_features
from genstudio.text.features import Making, write_features
from genstudio.training.loop import Status
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.next_feature import NextFeatureObjective, drafted
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.run import Summary, train
from tests.distillation import tiny
from tests.training.test_loop import press_at
from tests.training.tiny import lines, weights_hash

CPU = torch.device("cpu")


def go(recipe: TrainingRecipe, folder: Path, **watch: Any) -> Summary:
    return train(recipe, folder, CPU, **watch)


@pytest.mark.parametrize("source", ["pictures", "teacher:12"])
def test_a_distilled_drafter_loads_and_says_what_taught_it(
    source: str, teacher: Path, pictures: Path, home: Path
) -> None:
    source = f"fashion:{pictures}" if source == "pictures" else source
    summary = go(tiny.recipe(source), home / "models" / "tiny-drafter")
    release = catalogue.find("tiny-drafter")
    assert release.method == "drafter" and isinstance(weights.load(release), Drafter)
    assert release.distilled is not None and release.distilled.teacher == tiny.TEACHER
    assert release.distilled.sha256 == catalogue.find(tiny.TEACHER).sha256
    assert release.distilled.lessons is not None
    assert release.trained is not None and release.trained.recipe == "tiny-drafter"
    assert set(summary.test) == {
        "test_feature",
        "test_cross_entropy",
        "test_agreement",
        "test_overlap",
    }


def test_a_teacher_in_a_folder_is_named_as_seen_from_its_drafter(teacher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "drafter"
    go(tiny.recipe("teacher:12", teacher__release=str(teacher), run__steps=1), folder)
    found = catalogue.read_folder(folder).distilled
    assert found is not None and found.teacher == str(teacher)
    assert str(tmp_path) not in (folder / "release.json").read_text()


def test_autocast_lowers_products_alone(teacher: Path, tmp_path: Path) -> None:
    """(Torch warns of a norm whose input is lower than its weight, and warnings fail tests.)"""
    summary = go(tiny.recipe("teacher:12", run__precision="bf16"), tmp_path / "run")
    assert 0 < summary.losses["loss"] < 10


def test_a_drafter_learns_to_say_what_its_teacher_would(teacher: Path, tmp_path: Path) -> None:
    before = go(tiny.recipe("teacher:40", run__steps=1, optimizer__lr=1e-9), tmp_path / "before").test
    settings = {"run__steps": 60, "run__batch": 16, "optimizer__lr": 5e-3}
    after = go(tiny.recipe("teacher:40", **settings), tmp_path / "after").test
    assert after["test_feature"] < 0.7 * before["test_feature"]
    assert after["test_overlap"] > before["test_overlap"] + 0.1


@torch.no_grad()
def test_every_slot_reads_what_drafting_reads_and_says_the_slot_behind_it(teacher: Path) -> None:
    """A drafter that copies features would say each slot's own: so its loss is the distance of neighbours."""
    objective = _objective(tiny.recipe("teacher:12"))
    network = objective.network
    assert isinstance(network, Drafter) and isinstance(objective.teacher, LlamaGen)
    network.fc.weight.copy_(torch.cat([torch.zeros(32, 32), torch.eye(32)], dim=1))
    network.fc.bias.zero_()
    network.blocks[0].attn.proj.weight.zero_()
    network.blocks[0].mlp.down.weight.zero_()
    ids_BL, label_B = objective.test.take(torch.arange(1), None)
    features_BSC = objective._features(ids_BL, label_B, torch.zeros(1, dtype=torch.bool))
    assert features_BSC.shape == (1, 16, 32)
    torch.testing.assert_close(drafted(network, ids_BL, features_BSC), features_BSC[:, :-1])
    wanted = torch.nn.functional.smooth_l1_loss(features_BSC[:, :-1], features_BSC[:, 1:]).item()
    assert objective.evaluate(network)["test_feature"] == pytest.approx(wanted, rel=1e-5)


@torch.no_grad()
def test_features_are_those_that_sampling_makes_code_by_code(teacher: Path) -> None:
    """The head on the teacher's features is the teacher's own law of every code."""
    from genstudio.generators.llamagen import teacher_forced
    from genstudio.samplers.values import Given

    objective = _objective(tiny.recipe("teacher:12"))
    network = objective.teacher
    assert isinstance(network, LlamaGen)
    ids_BL, label_B = objective.train.take(torch.arange(3), None)
    drop_B = torch.tensor([False, True, False])
    logits_BLV = network.head(objective._features(ids_BL, label_B, drop_B))
    null_B = label_B.masked_fill(drop_B, 10)
    torch.testing.assert_close(logits_BLV, teacher_forced(network, ids_BL, Given(null_B)))


def test_labels_are_dropped_and_features_disturbed_as_asked(teacher: Path) -> None:
    quiet = _losses(tiny.recipe("teacher:12", objective__noise=0.0, objective__label_drop=0.0))
    assert quiet == _losses(tiny.recipe("teacher:12", objective__noise=0.0, objective__label_drop=0.0))
    assert quiet != _losses(tiny.recipe("teacher:12", objective__noise=0.3, objective__label_drop=0.0))
    assert quiet != _losses(tiny.recipe("teacher:12", objective__noise=0.0, objective__label_drop=1.0))


def _objective(recipe: TrainingRecipe) -> NextFeatureObjective:
    objective = prepare_drafter(recipe, CPU, lambda _: None, Processes()).objective
    assert isinstance(objective, NextFeatureObjective)
    return objective


def _losses(recipe: TrainingRecipe) -> float:
    index_B = torch.arange(4)
    at = At(torch.zeros(4, dtype=torch.int64), torch.stack([torch.zeros_like(index_B), index_B], 1))
    batch = Batch(0, 0.0, index_B, at, KeyedDraws(), index_B)
    return _objective(recipe).losses(batch).total.item()


def test_an_interrupted_distillation_goes_on_bit_for_bit(teacher: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe("teacher:12")
    go(recipe, tmp_path / "whole")
    with pytest.raises(GenstudioError, match="Interrupted at step 3 of 6"):
        go(recipe, tmp_path / "broken", report=press_at(3))
    go(recipe, tmp_path / "broken")
    assert weights_hash(tmp_path / "whole") == weights_hash(tmp_path / "broken")
    assert lines(tmp_path / "whole") == lines(tmp_path / "broken")


def test_another_teacher_of_the_same_name_is_not_gone_on_with(teacher: Path, tmp_path: Path) -> None:
    go(tiny.recipe("teacher:12"), tmp_path / "run")
    network = weights.load(catalogue.find(tiny.TEACHER))
    with torch.no_grad():
        network.get_parameter("head.weight").neg_()
    weights.save_release(teacher, network, catalogue.find(tiny.TEACHER))
    with pytest.raises(GenstudioError, match=r"differ: .*teacher"):
        go(tiny.recipe("teacher:12"), tmp_path / "run")


@pytest.mark.parametrize("name", ["var-d16", "nar-b-256"])
def test_a_teacher_that_is_not_raster_is_refused_by_its_config(name: str, home: Path) -> None:
    with pytest.raises(GenstudioError, match="does not make one code after the other") as caught:
        check_teacher(catalogue.find(name))
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network__vocab": 64}, "has vocab 64, its teacher tiny-teacher has 32"),
        ({"network__width": 64}, "has width 64"),
        ({"network__side": 8}, "has side 8"),
        ({"teacher__release": "tiny-grid"}, "makes no pictures"),
        ({"teacher__release": "var-d16"}, "does not make one code after the other"),
        ({"data__features": "f.safetensors"}, "made from classes, not from text"),
        ({"teacher__release": "llamagen-b-256"}, "has width 32, its teacher llamagen-b-256 has 768"),
        ({"teacher__release": "tiny-teach"}, "no model 'tiny-teach'"),
        ({"data__source": "teacher:none"}, "does not say how many pictures"),
        ({"data__pixels": 64}, "pixels 64, its teacher tiny-teacher has 32"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Any], says: str, teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(GenstudioError, match=says):
        go(tiny.recipe("teacher:12", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def of_text(home: Path, tmp_path: Path) -> str:
    """A teacher that is made from text, and features of three prompts of other lengths each."""
    tiny.write_teacher(home / "models", classes=0, caption={"slots": 5, "width": 12})
    making = Making(encoder="someone/tiny", sha256="ab" * 32, dtype="float32", cleaning="none")
    generator = torch.Generator().manual_seed(0)
    lengths = {"a red bird": 4, "a fish": 5, "x": 1}
    rows = {prompt: torch.randn(tokens, 12, generator=generator) for prompt, tokens in lengths.items()}
    write_features(tmp_path / "f.safetensors", making, rows)
    return str(tmp_path / "f.safetensors")


def test_a_teacher_from_text_is_asked_for_prompts(of_text: str, tmp_path: Path) -> None:
    recipe = tiny.recipe("teacher:12", data__features=of_text, network__condition_slots=5)
    go(recipe, tmp_path / "run")
    assert catalogue.find(str(tmp_path / "run")).method == "drafter"
    with pytest.raises(GenstudioError, match="no prompts are given"):
        go(tiny.recipe("teacher:12", network__condition_slots=5), tmp_path / "none")
    with pytest.raises(GenstudioError, match="which fashion does not tell"):
        go(recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": "fashion"})}), tmp_path)


@torch.no_grad()
def test_features_of_text_are_those_that_drafting_reads(of_text: str, tmp_path: Path) -> None:
    """Null rows keep the padding of their prompt; what code 0 makes is said from the last text slot on."""
    objective = _objective(tiny.recipe("teacher:12", data__features=of_text, network__condition_slots=5))
    ids_BL, label_B = objective.train.take(torch.arange(3), None)
    drop_B = torch.tensor([False, True, False])
    features_BSC = objective._features(ids_BL, label_B, drop_B)
    assert features_BSC.shape == (3, 5 + 15, 32) and label_B.tolist() == [0, 1, 2]
    cond = objective.teacher.condition(objective.given(label_B), null=True).take(torch.tensor([0, 4, 2]))
    torch.testing.assert_close(features_BSC, target_features(objective.teacher, ids_BL[:, :-1], cond))
    said = drafted(cast(Drafter, objective.network), ids_BL, features_BSC)
    assert said.shape == (3, 19, 32)


def test_pictures_of_other_classes_are_refused(home: Path, pictures: Path, tmp_path: Path) -> None:
    tiny.write_teacher(home / "models", classes=7)
    with pytest.raises(GenstudioError, match="has 10 classes, tiny-teacher has 7"):
        go(tiny.recipe(f"fashion:{pictures}"), tmp_path / "run")


def test_steps_are_told(teacher: Path, tmp_path: Path) -> None:
    seen: list[Status] = []
    go(tiny.recipe("teacher:12"), tmp_path / "run", report=seen.append)
    assert [status.step for status in seen] == [1, 2, 3, 4, 5, 6]
