"""Students are distilled: pairs that are the same however they are made, a beginning as the teacher, releases
that sample alone and around their teacher; and what does not fit is refused in plain words."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genstudio import registry
from genstudio.distillation import pairs
from genstudio.distillation.flow import Solver
from genstudio.distillation.flow_map import mapped
from genstudio.distillation.one_step import prepare_one_step
from genstudio.distillation.pairs import FIRST_SEED, Lesson, Pairs, paired
from genstudio.distillation.shards import Shards
from genstudio.distillation.students import begin, student_config
from genstudio.distillation.teacher import Teacher
from genstudio.errors import Exit, GenstudioError
from genstudio.generators.methods import method_of
from genstudio.generators.students import VARStudent
from genstudio.processes import Processes
from genstudio.releases import catalogue, weights
from genstudio.samplers.draws import At, KeyedDraws
from genstudio.samplers.picks import law
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Given
from genstudio.studio import Studio
from genstudio.training.initial import initialise
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.one_step import OneStepObjective
from genstudio.training.run import train
from tests.distillation import students, tiny

CPU = torch.device("cpu")
SILENT = lambda _: None  # noqa: E731


@pytest.fixture(params=["var", "llamagen"])
def teacher(request: pytest.FixtureRequest, home: Path) -> str:
    """The name of a teacher of either kind."""
    if request.param == "var":
        students.write_var_teacher(home / "models")
        return students.VAR_TEACHER
    tiny.write_teacher(home / "models")
    return tiny.TEACHER


def lesson(name: str, steps: int = 6) -> Lesson:
    teacher = Teacher.load(name, CPU)
    return Lesson(teacher, teacher.release.recipe, Solver(steps=steps))


def test_every_code_of_a_pair_is_its_noise_carried_by_the_teachers_law(teacher: str) -> None:
    """Told the codes of a pair, an unguided teacher has the law that each noise was mapped under."""
    one = lesson(teacher)
    one = Lesson(one.teacher, Recipe(), one.solver)
    found = paired(one, range(5, 8), SILENT, Processes())
    assert found.seed_N.tolist() == [FIRST_SEED + number for number in (5, 6, 7)]
    tokenizer, quantize = one.teacher.tokenizer, one.teacher.tokenizer.quantize
    table_VC = quantize.scaled(quantize.table_VC)
    noise_BLd = found.noise(torch.arange(3), table_VC.shape[1])
    logits: list[Tensor] = []
    _told_logits(one.teacher, found, logits)
    p_RV = law(torch.cat(logits, dim=1), Recipe()).flatten(0, 1)
    with torch.no_grad():
        ids_R = mapped(noise_BLd.flatten(0, 1), p_RV, table_VC, one.solver)
    assert ids_R.view(3, -1).eq(found.ids_NL).float().mean() > 0.99
    assert tokenizer.codes_of(found.ids_NL.long()).kind in ("ids", "scales")


@torch.no_grad()
def _told_logits(teacher: Teacher, found: Pairs, logits: list[Tensor]) -> None:
    from genstudio.generators import llamagen, var

    given, ids_BL = Given(found.label_N), found.ids_NL.long()
    if isinstance(teacher.generator, llamagen.LlamaGen):
        logits.append(llamagen.teacher_forced(teacher.generator, ids_BL, given))
    else:
        assert isinstance(teacher.generator, var.VAR)
        pyramid: Any = teacher.tokenizer.quantize
        feeds = pyramid.teacher(teacher.tokenizer.codes_of(ids_BL))
        logits.append(var.teacher_forced(teacher.generator, feeds, given))


def test_pairs_are_the_same_in_any_number_of_processes_and_after_a_stop(
    teacher: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "Shards", lambda *words: Shards(*words, size=3))
    monkeypatch.setattr(Processes, "any", lambda self, flag: flag)
    one, numbers = lesson(teacher), range(8)
    whole = paired(one, numbers, SILENT, Processes())
    alone = _files(home)
    for path in (home / "pairs").rglob("*.safetensors"):
        path.unlink()
    for rank in (1, 0):
        with _incomplete_is_fine():
            paired(one, numbers, SILENT, Processes(rank, 2))
    assert _files(home) == alone
    next((home / "pairs").rglob("00000003-*.safetensors")).unlink()
    assert paired(one, numbers, SILENT, Processes()).ids_NL.equal(whole.ids_NL)
    assert _files(home) == alone


class _incomplete_is_fine:
    """A process of two finds the other's shards missing as long as that one did not run."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        return kind is GenstudioError


def _files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "pairs").rglob("*.safetensors")}


def test_another_teacher_law_or_solver_makes_pairs_of_its_own(teacher: str) -> None:
    one = lesson(teacher)
    known = one.reads(range(4))
    assert one.reads(range(5)) != known
    assert Lesson(one.teacher, one.law, Solver(steps=7)).reads(range(4)) != known
    other = one.law.override(top_k=3)
    assert Lesson(one.teacher, other, one.solver).reads(range(4)) != known


def test_a_foreign_and_a_half_written_shard_are_named_with_their_hash(teacher: str, home: Path) -> None:
    one = lesson(teacher)
    paired(one, range(4), SILENT, Processes())
    path = next((home / "pairs").rglob("*.safetensors"))
    other = Lesson(one.teacher, one.law, Solver(steps=7))
    stranger = Shards(Path("nowhere"), one.reads(range(4)), 4).lessons
    foreign = Shards(home / "pairs" / Shards(path, other.reads(range(4)), 4).lessons, {}, 4).path(range(4))
    foreign.parent.mkdir()
    foreign.write_bytes(path.read_bytes())
    with pytest.raises(GenstudioError, match=f"other lessons .{stranger}") as caught:
        paired(other, range(4), SILENT, Processes())
    assert caught.value.code == Exit.WEIGHTS
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(GenstudioError, match="is damaged"):
        paired(one, range(4), SILENT, Processes())


def test_a_student_begins_as_its_teacher(teacher: str) -> None:
    release = catalogue.find(teacher)
    student = initialise(registry.build(student_config(release), "cpu"), seed=3)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    known = weights.load(release).state_dict()
    fresh = begin(student, weights.load(release))
    after = student.state_dict()
    assert all(after[name].equal(known[name]) for name in after if name not in fresh)
    assert {"mark_embed.weight", "vector_head.linear.weight"} <= set(fresh)
    if isinstance(student, VARStudent):
        assert after["slot_pos"][:, 0].equal(known["slot_pos"][:, 0])
        assert after["slot_pos"][:, 1].equal(before["slot_pos"][:, 1])
        assert after["slot_pos"][:, 2:].equal(known["slot_pos"][:, 1:])
        assert after["level_embed.weight"][2:].equal(known["level_embed.weight"][1:])


def test_losses_are_those_of_the_positions_behind_the_timestep(teacher: str) -> None:
    objective = _objective(students.recipe(teacher))
    index_B = torch.arange(4)
    network: Any = objective.network
    with torch.no_grad():
        made = objective._compare(network, objective.train, index_B, torch.full((4,), _turn(objective)))
        quantize, ids_BL = objective.tokenizer.quantize, objective.train.ids_NL[index_B].long()
        code_BLd = quantize.lookup(ids_BL)
        behind = objective.unit_L >= _turn(objective)
        noise_BLd = objective.train.noise(index_B, code_BLd.shape[-1])
        x_BLd = torch.where(behind[None, :, None], noise_BLd, code_BLd)
        cond = network.condition(Given(objective.train.label_N[index_B]), null=False)
        h_BLC = network(x_BLd, torch.full((4,), _turn(objective)), cond)
        log_p_BLV = network.logits(h_BLC, cond).log_softmax(-1)
        nll_BL = -log_p_BLV.gather(2, ids_BL[..., None])[..., 0]
        far_BL = (network.vectors(h_BLC, cond) - code_BLd).square().mean(-1)
    torch.testing.assert_close(made["cross_entropy"], nll_BL[:, behind].mean(1))
    table_VC = quantize.scaled(quantize.table_VC.detach())
    torch.testing.assert_close(
        made["distance"], far_BL[:, behind].mean(1) / table_VC.var(0, correction=0).mean()
    )


def test_the_timesteps_of_a_step_are_all_learned_and_drawn_by_example(teacher: str) -> None:
    objective = _objective(students.recipe(teacher, pairs=16))
    seen: list[Tensor] = []
    real = objective._compare
    objective._compare = lambda *words: seen.append(words[3]) or real(*words)  # type: ignore[method-assign, func-returns-value]
    index_B = torch.arange(16)
    at = At(torch.zeros(16, dtype=torch.int64), index_B[:, None].repeat(1, 2))
    batch = Batch(0, 0.0, index_B, at, KeyedDraws(), index_B)
    first = objective.losses(batch).total
    assert objective.losses(batch).total.equal(first)
    assert set(seen[0].tolist()) == {0, _turn(objective)} and seen[0].equal(seen[1])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_distilled_student_samples_like_any_model(
    teacher: str, steps: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "models" / "tiny-student"
    summary = train(students.recipe(teacher, sample__every=4), folder, CPU)
    release = catalogue.find("tiny-student")
    assert release.distilled is not None and release.distilled.teacher == teacher
    assert release.distilled.sha256 == catalogue.find(teacher).sha256
    assert release.tokenizer is not None and (folder / "samples" / "step-0000004.png").is_file()
    assert {name.split("_from_")[0] for name in summary.test} == {
        "test_cross_entropy",
        "test_distance",
        "test_accuracy",
    }
    studio = Studio.load("tiny-student", device="cpu")
    first, again = (studio.sample([3, 4], seed=7, steps=steps) for _ in range(2))
    assert all(one.pixels_CHW.equal(two.pixels_CHW) for one, two in zip(first, again, strict=True))
    assert method_of(studio.generator).surprise is None


def test_a_student_learns_its_teachers_codes(teacher: str, tmp_path: Path) -> None:
    before = train(students.recipe(teacher, 48, run__steps=1, optimizer__lr=1e-9), tmp_path / "a", CPU).test
    more = {"run__steps": 60, "run__batch": 16, "optimizer__lr": 3e-3, "run__ema": 0.0}
    run = train(students.recipe(teacher, 48, **more), tmp_path / "b", CPU)
    assert run.losses["loss"] < 0.9 * (before["test_cross_entropy_from_0"] + before["test_distance_from_0"])


def test_teachers_without_a_codebook_or_a_student_are_refused(home: Path) -> None:
    del home
    for name, says in (
        ("mar-b", "no codebook"),
        ("nar-b-256", "no student"),
        ("llamagen-t2i-xl-256", "text"),
    ):
        with pytest.raises(GenstudioError, match=says):
            student_config(catalogue.find(name))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network__depth": 9}, "has depth 9, its teacher"),
        ({"data__source": "fashion"}, "from no pictures"),
        ({"data__flip": True}, "from no pictures"),
        ({"objective__timesteps": [0]}, "is not learned"),
        ({"tokenizer__release": "msvq-fashion"}, "the codes of its teacher"),
    ],
)
def test_recipes_that_do_not_fit_say_so(changes: dict[str, Any], says: str, home: Path) -> None:
    students.write_var_teacher(home / "models")
    with pytest.raises(GenstudioError, match=says):
        prepare_one_step(students.recipe(students.VAR_TEACHER, **changes), CPU, SILENT, Processes())


def _objective(recipe: Any) -> OneStepObjective:
    found = prepare_one_step(recipe, CPU, SILENT, Processes()).objective
    assert isinstance(found, OneStepObjective)
    return found


def _turn(objective: OneStepObjective) -> int:
    return int(objective.timestep_T[-1])
