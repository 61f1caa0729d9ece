"""What a drafter is trained from: its teacher's features on the codes of pictures, or on its own samples.

Any generator whose codes follow one after the other in raster order, and whose features stand behind a last
norm, can be drafted for. Its config tells, before weights are read.
Shapes: B pictures, L codes of a picture, N examples.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor

from genstudio import registry
from genstudio.configs.drafter import DrafterConfig
from genstudio.data.pictures import Pictures
from genstudio.distillation.conditions import Conditions, conditions_of
from genstudio.distillation.lessons import gathered
from genstudio.distillation.shards import Shards, lessons_of
from genstudio.distillation.teacher import Teacher
from genstudio.errors import GenstudioError
from genstudio.files import home
from genstudio.generators.base import Generator
from genstudio.generators.drafter import Drafter
from genstudio.processes import Processes
from genstudio.releases import catalogue
from genstudio.releases.release import Release
from genstudio.samplers.draws import VERSION, KeyedDraws
from genstudio.samplers.orders import RasterOrder
from genstudio.samplers.speculate.eagle import Target
from genstudio.training.codes import CodeBook, encoded, fingerprint
from genstudio.training.objectives.next_feature import NextFeatureObjective
from genstudio.training.objectives.settings import NextFeature
from genstudio.training.positions import balanced
from genstudio.training.prepare import (
    Prepared,
    Say,
    check_data,
    check_size,
    check_split,
    fresh_network,
    open_split,
)
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.rehearsal import Rehearsal

HELD_OUT = 10  # one picture is sampled for the test for so many of the training
SHARED = ("width", "vocab", "side", "condition_slots")


def prepare_drafter(
    recipe: TrainingRecipe,
    device: torch.device,
    say: Say,
    processes: Processes,
    rehearsal: Rehearsal | None = None,
) -> Prepared:
    """A drafter that starts from its teacher's code vectors. Raises GenstudioError for a teacher that cannot
    be drafted for, and for numbers that do not agree with its own."""
    assert recipe.teacher is not None and isinstance(recipe.objective, NextFeature)
    check_split(recipe, processes)
    release = catalogue.find(recipe.teacher.release)
    check_teacher(release)
    _check_numbers(recipe.network, release)
    teacher = Teacher.load(recipe.teacher.release, device)
    say(f"learning the features of {release.name}")
    network = fresh_network(recipe, say)
    assert isinstance(network, Drafter)
    if recipe.run.init is None:
        network.code_embed.load_state_dict(teacher.generator.get_submodule("code_embed").state_dict())
    conditions = conditions_of(teacher, recipe.data.features)
    train, test = _lessons(recipe, teacher, conditions, say, processes, rehearsal)
    objective = NextFeatureObjective(
        network.to(device),
        cast(Target, teacher.generator),
        recipe.objective,
        train,
        test,
        conditions.given,
        device,
        {"teacher": fingerprint(teacher.generator)},
    )
    counts_K = train.label_N.bincount(minlength=len(conditions.names))
    weight_N = balanced(train.label_N, recipe.data.balance)
    distilled = teacher.named(train.reads["data"])
    return Prepared(objective, conditions.names, tuple(counts_K.tolist()), weight_N, distilled)


def check_teacher(release: Release) -> None:
    """Raises GenstudioError unless the generator can be drafted for. Reads its config alone."""
    config = release.generator
    network = registry.build(config)
    raster = isinstance(network, Generator) and isinstance(network.order, RasterOrder)
    if not raster or not all(hasattr(network, name) for name in ("norm", "head", "code_embed")):
        raise GenstudioError(
            f"{release.name} is a {release.method}, which does not make one code after the other.",
            "A drafter needs a teacher in raster order, such as a llamagen.",
        )


def _check_numbers(config: object, release: Release) -> None:
    if not isinstance(config, DrafterConfig):
        raise GenstudioError("This objective trains a drafter.", 'Set network.kind to "drafter".')
    for name in SHARED:
        ours, theirs = getattr(config, name), getattr(release.config, name)
        if ours != theirs:
            raise GenstudioError(
                f"The drafter has {name} {ours}, its teacher {release.name} has {theirs}.",
                f"Set network.{name} to the teacher's, or leave it away.",
            )


def _lessons(
    recipe: TrainingRecipe,
    teacher: Teacher,
    conditions: Conditions,
    say: Say,
    processes: Processes,
    rehearsal: Rehearsal | None,
) -> tuple[CodeBook, CodeBook]:
    """Codes to train on and to test with."""
    check_size(recipe, teacher.tokenizer.config, f"teacher {teacher.release.name}")
    if (count := sampled(recipe.data.source)) is not None:
        held_out = range(count, count + max(1, count // HELD_OUT))
        train = _sampled(teacher, conditions, range(count), say, processes, rehearsal)
        return train, _sampled(teacher, conditions, held_out, say, processes, rehearsal)
    if teacher.release.caption is not None:
        raise GenstudioError(
            f"{teacher.release.name} is made from text, which {recipe.data.source} does not tell.",
            "Let it sample: --data teacher:N --features FILE.",
        )
    train_set, test_set = open_split(recipe, "train"), open_split(recipe, "test")
    check_data(recipe, train_set)
    _check_classes(teacher, train_set, recipe.data.source)
    say(f"{len(train_set)} pictures, encoded with {teacher.release.tokenizer} unless that was done before")
    with processes.first_ahead():
        train = encoded(teacher.tokenizer, train_set, recipe.data.flip, home() / "codes", rehearsal)
        return train, encoded(teacher.tokenizer, test_set, False, home() / "codes", rehearsal)


def sampled(source: str) -> int | None:
    """How many pictures `teacher:N` asks for; None for another source. Raises GenstudioError where N is no
    number."""
    name, _, count = source.partition(":")
    if name != "teacher":
        return None
    if not count.isdecimal() or int(count) == 0:
        raise GenstudioError(
            f"The source {source!r} does not say how many pictures to sample.",
            "Write it as teacher:N, e.g. teacher:10000.",
        )
    return int(count)


def _check_classes(teacher: Teacher, pictures: Pictures, source: str) -> None:
    if len(pictures.classes) != len(teacher.classes):
        raise GenstudioError(
            f"{source} has {len(pictures.classes)} classes, {teacher.release.name} has "
            f"{len(teacher.classes)}.",
            "Give the pictures that it was trained on, or --data teacher:N.",
        )


def _sampled(
    teacher: Teacher,
    conditions: Conditions,
    numbers: range,
    say: Say,
    processes: Processes,
    rehearsal: Rehearsal | None,
) -> CodeBook:
    """Pictures that the teacher makes by its own recipe: picture i has seed i, and conditions take turns."""
    reads = {
        **conditions.reads,
        "teacher": fingerprint(teacher.generator),
        "tokenizer": fingerprint(teacher.tokenizer),
        "sampling": repr(teacher.release.recipe),
        "draws": str(VERSION),
        "numbers": f"{numbers.start}-{numbers.stop}",
    }
    shards = Shards(home() / "codes" / lessons_of(reads), reads, len(numbers))
    what = f"pictures sampled by {teacher.release.name}"
    make = partial(_ids, teacher, conditions)
    ids_NL = gathered(make, numbers.start, shards, what, say, processes, rehearsal)
    label_N = torch.arange(numbers.start, numbers.stop) % len(conditions.names)
    known = {"data": shards.lessons, "tokenizer": reads["tokenizer"]}
    return CodeBook(known, ids_NL, None, label_N)


@torch.no_grad()
def _ids(teacher: Teacher, conditions: Conditions, number_B: Tensor) -> Tensor:
    seed_B = number_B.to(next(teacher.generator.parameters()).device)
    given = conditions.given(seed_B % len(conditions.names))
    codes = teacher.made(given, seed_B, teacher.release.recipe, KeyedDraws())
    return codes.data[0].to("cpu", torch.int32)
