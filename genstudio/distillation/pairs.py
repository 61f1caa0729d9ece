"""Pairs for a one-step student: the noise of a picture, and the codes that its teacher's flow maps it to.

Pair i has a picture seed of its own, far above those that pictures are asked for by: no score is to be taken
on a noise that was learned. Noise is a function of that seed (`Use.START`, place by place), so a pair is kept
as its ids alone, a hundredth of it; seed and class follow from its number. The teacher walks as it always
does, guidance and filters included; only how a code is picked differs (arXiv 2412.17153, section 3.2).
Shapes: N pairs, B of a batch, L codes of a picture, d code width.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from json import dumps
from typing import Final

import torch
from torch import Tensor

from genstudio.distillation.flow import Solver
from genstudio.distillation.flow_map import MappedDraws
from genstudio.distillation.lessons import Say, gathered
from genstudio.distillation.shards import Shards, lessons_of
from genstudio.distillation.teacher import Teacher
from genstudio.files import home
from genstudio.processes import Processes
from genstudio.samplers.draws import VERSION, At, KeyedDraws, Use
from genstudio.samplers.recipe import Recipe
from genstudio.training.codes import fingerprint
from genstudio.training.rehearsal import Rehearsal

FIRST_SEED: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was learned from what: ids in the order of generation, classes, and the seeds of the noises."""

    reads: Mapping[str, str]
    seed_N: Tensor
    label_N: Tensor
    ids_NL: Tensor

    def __len__(self) -> int:
        return len(self.ids_NL)

    def to(self, device: torch.device) -> "Pairs":
        """The same pairs on a device."""
        return replace(
            self,
            seed_N=self.seed_N.to(device),
            label_N=self.label_N.to(device),
            ids_NL=self.ids_NL.to(device),
        )

    def noise(self, index_B: Tensor, width: int) -> Tensor:
        """The noise [B,L,d] of these pairs, as a student's sampler draws it."""
        place_L1 = torch.arange(self.ids_NL.shape[1], device=self.ids_NL.device)[:, None]
        at = At.grid(self.seed_N[index_B], place_L1)
        return KeyedDraws().normal(Use.START, at, (width,)).view(len(index_B), -1, width)


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a teacher makes pairs: the recipe that gives codes their law, and how noise is carried to them."""

    teacher: Teacher
    law: Recipe
    solver: Solver

    def reads(self, numbers: range) -> dict[str, str]:
        """Fingerprints of everything that decides the pairs of these numbers."""
        return {
            "teacher": fingerprint(self.teacher.generator),
            "tokenizer": fingerprint(self.teacher.tokenizer),
            "sampling": dumps(asdict(self.law), sort_keys=True),
            "solver": dumps(asdict(self.solver), sort_keys=True),
            "draws": str(VERSION),
            "numbers": f"{numbers.start}-{numbers.stop}",
        }

    @torch.no_grad()
    def ids(self, number_B: Tensor) -> Tensor:
        """Codes int32 [B,L] on the CPU of the pairs of these numbers."""
        quantize, device = self.teacher.tokenizer.quantize, next(self.teacher.generator.parameters()).device
        draws = MappedDraws(KeyedDraws(), quantize.scaled(quantize.table_VC), self.solver)
        label_B, seed_B = number_B.to(device) % len(self.teacher.classes), number_B.to(device) + FIRST_SEED
        codes = self.teacher.sample(label_B, seed_B, self.law, draws)
        return torch.cat(codes.data, dim=1).to("cpu", torch.int32)


def paired(
    lesson: Lesson, numbers: range, say: Say, processes: Processes, rehearsal: Rehearsal | None = None
) -> Pairs:
    """The pairs of these numbers: made in shards that all processes share out, or found where they were made
    before. Raises GenstudioError for a damaged or foreign shard, a full disk, and Ctrl-C: nothing is lost."""
    reads = lesson.reads(numbers)
    shards = Shards(home() / "pairs" / lessons_of(reads), reads, len(numbers))
    what = f"pairs of noise and codes by {lesson.teacher.release.name}"
    ids_NL = gathered(lesson.ids, numbers.start, shards, what, say, processes, rehearsal)
    number_N = torch.arange(numbers.start, numbers.stop)
    label_N = number_N % len(lesson.teacher.classes)
    known = {"pairs": shards.lessons, "tokenizer": reads["tokenizer"]}
    return Pairs(known, number_N + FIRST_SEED, label_N, ids_NL)
