"""What a one-step student is trained from: its teacher's weights, and pairs of noise and codes.

Shapes: N pairs.
"""

from dataclasses import fields, replace

import torch

from genstudio.distillation.drafting import sampled
from genstudio.distillation.pairs import Lesson, Pairs, paired
from genstudio.distillation.students import begin, student_config
from genstudio.distillation.teacher import Teacher
from genstudio.errors import GenstudioError
from genstudio.generators.students import LlamaGenStudent, VARStudent
from genstudio.processes import Processes
from genstudio.releases import catalogue
from genstudio.releases.release import Release
from genstudio.training.objectives.one_step import OneStepObjective
from genstudio.training.objectives.settings import OneStep
from genstudio.training.prepare import Prepared, Say, check_size, check_split, fresh_network
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.rehearsal import Rehearsal

HELD_OUT = 30  # one pair is made for the test for so many of the training


def prepare_one_step(
    recipe: TrainingRecipe,
    device: torch.device,
    say: Say,
    processes: Processes,
    rehearsal: Rehearsal | None = None,
) -> Prepared:
    """A student that begins as its teacher. Raises GenstudioError for a teacher that can have none, and for
    numbers that do not agree with its own."""
    assert recipe.teacher is not None and isinstance(recipe.objective, OneStep)
    check_split(recipe, processes)
    release = catalogue.find(recipe.teacher.release)
    _check_numbers(recipe, release)
    count = _count(recipe)
    teacher = Teacher.load(recipe.teacher.release, device)
    check_size(recipe, teacher.tokenizer.config, f"teacher {release.name}")
    network = fresh_network(recipe, say)
    assert isinstance(network, VARStudent | LlamaGenStudent)
    if recipe.run.init is None:
        say(f"beginning as {release.name}; fresh: {', '.join(begin(network, teacher.generator))}")
    lesson = Lesson(teacher, replace(recipe.sampling, few=None), recipe.objective.solver)
    train, test = _pairs(lesson, count, say, processes, rehearsal)
    objective = OneStepObjective(
        network.to(device), teacher.tokenizer, recipe.objective, train, test, device, recipe.sampling
    )
    counts_K = train.label_N.bincount(minlength=len(teacher.classes))
    distilled = teacher.named(train.reads["pairs"])
    return Prepared(objective, teacher.classes, tuple(counts_K.tolist()), distilled=distilled)


def _pairs(
    lesson: Lesson, count: int, say: Say, processes: Processes, rehearsal: Rehearsal | None
) -> tuple[Pairs, Pairs]:
    """Those to train on, and as many more to test with as are held out."""
    held_out = range(count, count + max(1, count // HELD_OUT))
    train = paired(lesson, range(count), say, processes, rehearsal)
    return train, paired(lesson, held_out, say, processes, rehearsal)


def _count(recipe: TrainingRecipe) -> int:
    """How many pairs the recipe asks for."""
    count = sampled(recipe.data.source)
    if count is None or recipe.data.flip:
        raise GenstudioError(
            "A student learns from noise that its teacher makes codes of, and from no pictures.",
            "Write data.source as teacher:N, e.g. teacher:30000, and leave data.flip away.",
        )
    return count


def _check_numbers(recipe: TrainingRecipe, release: Release) -> None:
    wanted = student_config(release)
    if recipe.network.kind != wanted.kind:
        raise GenstudioError(
            f"The student of a {release.method} is no {recipe.network.kind}.",
            f"Set network.kind to {wanted.kind!r}.",
        )
    for name in (one.name for one in fields(wanted)):
        ours, theirs = getattr(recipe.network, name), getattr(wanted, name)
        if ours != theirs:
            raise GenstudioError(
                f"The student has {name} {ours}, its teacher {release.name} has {theirs}.",
                f"Set network.{name} to the teacher's, or leave it away.",
            )
    if recipe.tokenizer is None or catalogue.find(recipe.tokenizer.release) != catalogue.find(
        release.tokenizer or ""
    ):
        raise GenstudioError(
            f"A student has the codes of its teacher {release.name}.",
            f"Set tokenizer.release to {release.tokenizer!r}.",
        )
    _check_steps(recipe)


def _check_steps(recipe: TrainingRecipe) -> None:
    """Timesteps are units that there are; the ones that sampling begins at have to be among those learned."""
    assert isinstance(recipe.objective, OneStep)
    few, learned = recipe.sampling.few, recipe.objective.timesteps
    if few is None:
        raise GenstudioError("The recipe does not say how a student samples.", "Give it a [sampling.few].")
    if missing := {0, few.turn} - set(learned):
        raise GenstudioError(
            f"Sampling begins at unit {min(missing)}, which is not learned.",
            f"Set objective.timesteps to [0, {few.turn}], or sampling.few.turn to a timestep.",
        )
