"""Released students against the published facts, and their files in the forms that people have them in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.errors import Exit, GenstudioError
from genstudio.parity.fixture import Fixture
from genstudio.releases import catalogue, weights
from genstudio.releases.imports import import_file
from genstudio.releases.official_students import LLAMAGEN_PACKING, VAR_PACKING
from genstudio.releases.release import File
from genstudio.releases.rename import UnfitError, from_official, to_official
from genstudio.releases.sightings import identify
from genstudio.releases.tables import table_for
from tests.generators.test_students import CONFIGS, LLAMAGEN_STUDENT, VAR_STUDENT
from tests.releases import tiny
from tests.support import parity_folder

pytestmark = pytest.mark.usefixtures("home")

COUNTED, ROUNDED = 0.005, 1.5  # millions: those of LlamaGen were counted, those of VAR are the paper's
MILLIONS = {
    "llamagen-b-256-dd": (98.32, COUNTED),
    "llamagen-l-256-dd": (326.16, COUNTED),
    "var-d16-dd": (327, ROUNDED),
    "var-d20-dd": (635, ROUNDED),
    "var-d24-dd": (1090, 5.0),
}


@pytest.mark.parametrize(("name", "millions", "within"), [(key, *value) for key, value in MILLIONS.items()])
def test_a_student_has_its_published_number_of_parameters(name: str, millions: float, within: float) -> None:
    network = registry.build(catalogue.find(name).config)
    counted = sum(value.numel() for value in network.parameters()) / 1e6
    assert counted == pytest.approx(millions, abs=within)


@pytest.mark.parametrize("name", MILLIONS)
def test_a_student_names_its_teacher_whose_codes_it_has(name: str) -> None:
    student = catalogue.find(name)
    assert student.distilled is not None
    teacher = catalogue.find(student.distilled.teacher)
    assert student.tokenizer == teacher.tokenizer and student.classes == teacher.classes
    shared = ("classes", "depth", "width", "heads", "vocab", "side")
    assert all(getattr(student.config, one) == getattr(teacher.config, one) for one in shared)
    few = student.recipe.few
    assert few is not None and few.steps == 1


@pytest.mark.parametrize("name", ["distilled-decoding-var", "distilled-decoding-llamagen"])
def test_official_files_survive_our_names_bitwise(name: str) -> None:
    official = Fixture(parity_folder(name)).weights()
    config = tiny_config(name, official)
    converted = from_official(official, table_for(config), registry.shapes(config))
    back = to_official(converted.tensors, table_for(config))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], value) for key, value in official.items())


def test_another_list_of_scales_shows_in_the_mask() -> None:
    official = to_official(tiny.network(VAR_STUDENT).state_dict(), table_for(VAR_STUDENT))
    other = replace(VAR_STUDENT, sizes=(2, 1, 4))
    with pytest.raises(UnfitError, match="attn_bias_for_masking"):
        from_official(official, table_for(other), registry.shapes(other))


@pytest.mark.parametrize(
    ("config", "packing", "wrapped"),
    [
        (VAR_STUDENT, VAR_PACKING, lambda own, old: {"trainer": {"ema_parameters": own, "var_wo_ddp": old}}),
        (VAR_STUDENT, VAR_PACKING, lambda own, old: {"trainer": {"var_wo_ddp": own}, "epoch": 3}),
        (LLAMAGEN_STUDENT, LLAMAGEN_PACKING, lambda own, old: {"ema": own, "model": old}),
        (LLAMAGEN_STUDENT, LLAMAGEN_PACKING, lambda own, old: {"model": own, "steps": 9}),
    ],
)
def test_the_averaged_weights_are_taken_where_a_file_has_them(
    config: Any, packing: Any, wrapped: Any, tmp_path: Path
) -> None:
    own, old = (to_official(tiny.network(config, seed).state_dict(), table_for(config)) for seed in (1, 2))
    torch.save(wrapped(own, old), tmp_path / "student.pth")
    release = replace(tiny.release(config), packing=packing, file=File(hub="a/b", name="student.pth"))
    import_file(tmp_path / "student.pth", release)
    found = weights.read(weights.resolve(release))
    expected = tiny.network(config, 1).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_student_is_told_from_its_teacher_by_its_tensors(config: Any) -> None:
    official = to_official(tiny.network(config).state_dict(), table_for(config))
    sighting = identify(official)
    assert sighting is not None and sighting.kind == config.kind
    assert sighting.fits(tiny.release(config)) and "one-step student" in str(sighting)


def test_a_teachers_file_is_refused_as_what_it_is(tmp_path: Path) -> None:
    official = to_official(tiny.network(tiny.GENERATOR).state_dict(), table_for(tiny.GENERATOR))
    torch.save(official, tmp_path / "student.pth")
    release = replace(tiny.release(VAR_STUDENT), file=File(hub="a/b", name="student.pth"))
    with pytest.raises(GenstudioError, match="VAR transformer") as caught:
        import_file(tmp_path / "student.pth", release)
    assert caught.value.code == Exit.WEIGHTS


def tiny_config(name: str, official: dict[str, Tensor]) -> Any:
    """The numbers of a fixture's student, which its tensors show but for heads."""
    sighting = identify(official)
    assert sighting is not None
    if name.endswith("var"):
        return replace(VAR_STUDENT, **{key: value for key, value in sighting.facts.items() if key != "slots"})
    facts = {key: value for key, value in sighting.facts.items() if key != "caption"}
    return replace(LLAMAGEN_STUDENT, **facts)
