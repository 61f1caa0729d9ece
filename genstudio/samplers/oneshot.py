"""The walk of a distilled student: all codes at once from noise, in one step, two, or around its teacher.

Every step puts the same noise behind the codes that stand (arXiv 2412.17153, section 3.4); `FewSteps` says
where steps begin. Nothing else is drawn but what the teacher draws in its part. The result is vectors: those
that were predicted as such are decoded as they are, never quantised again.
Shapes: B pictures, L codes of a picture, n of them, d code width, C width, V codes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from genstudio.samplers.draws import At, Use
from genstudio.samplers.few_steps import FewSteps
from genstudio.samplers.values import Codes, Cond, Given, Order
from genstudio.samplers.walk import CacheMaker, Job, Walk
from genstudio.tokenizers.protocol import Quantizer

CPU_VALUES, GPU_VALUES = 1 << 22, 1 << 27  # of logits that lie in memory together


class Teacher(NamedTuple):
    """`walk(cached)` is that of the teacher, which reads codes that stand before its own under its mask as if
    it had made them itself, or officially without; `cache` makes the teacher's."""

    walk: Callable[[bool], Walk[Any]]
    cache: CacheMaker


class Student(Protocol):
    """A network that says of every position what becomes of it. `t_B` counts units that hold data."""

    @property
    def order(self) -> Order: ...
    def condition(self, given: Given, null: bool) -> Cond: ...
    def __call__(self, x_BLd: Tensor, t_B: Tensor, cond: Cond) -> Tensor: ...
    def logits(self, h_BnC: Tensor, cond: Cond) -> Tensor: ...
    def vectors(self, h_BnC: Tensor, cond: Cond) -> Tensor: ...


class Board(Protocol):
    """The side of a tokenizer that a student needs: its table, and where vectors and ids stand."""

    @property
    def quantize(self) -> Quantizer: ...
    def codes_of(self, ids_Bn: Tensor) -> Codes: ...
    def latents_of(self, vectors_BLC: Tensor) -> Tensor: ...


@dataclass
class OneShotState:
    """Where B pictures stand. `passes` are timesteps of the student, None for a unit of the teacher; `x_BLd`
    is what all codes are now."""

    job: Job
    few: FewSteps
    cond: Cond
    noise_BLd: Tensor
    x_BLd: Tensor
    passes: tuple[int | None, ...]
    number: int = 0
    done: int = 0
    taught: Any = None
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.number == len(self.passes)


class OneShotWalk:
    """One pass of a network per `advance`."""

    def __init__(self, student: Student, board: Board, teacher: Teacher | None = None) -> None:
        self.student, self.board, self.teacher = student, board, teacher
        self.units = student.order.units()

    @property
    def total(self) -> int:
        return self.student.order.codes

    def start(self, job: Job) -> OneShotState:
        """The noise of every code, drawn here, once. Raises ValueError where the recipe takes no few
        steps, or asks for a teacher that is not there."""
        few = job.recipe.few
        if few is None or (few.start is not None and self.teacher is None):
            raise ValueError("A student needs a recipe of few steps, and a teacher where that takes part.")
        place_L1 = torch.arange(self.total, device=job.seed_B.device)[:, None]
        width = self.board.quantize.table_VC.shape[1]
        noise_Rd = job.draws.normal(Use.START, At.grid(job.seed_B, place_L1), (width,))
        noise_BLd = noise_Rd.view(job.batch, self.total, width)
        cond = self.student.condition(job.given, null=False)
        return OneShotState(job, few, cond, noise_BLd, torch.zeros_like(noise_BLd), passes(few))

    def advance(self, state: OneShotState) -> None:
        """The next step of the student, or the next unit of the teacher."""
        timestep = state.passes[state.number]
        if timestep is None:
            self._ask_teacher(state)
        else:
            self._step(state, timestep)
        state.number += 1

    def codes(self, state: OneShotState) -> Codes:
        """The latent of all codes, of kind "latents"."""
        return Codes("latents", (self.board.latents_of(state.x_BLd),))

    def before(self, unit: int) -> int:
        """Codes before a unit."""
        return self.units[unit].made.start if unit < len(self.units) else self.total

    def _step(self, state: OneShotState, timestep: int) -> None:
        """The student from what stands before `timestep`, the rest noise."""
        known, split = self.before(timestep), self.before(state.few.split)
        x_BLd = torch.cat([state.x_BLd[:, :known], state.noise_BLd[:, known:]], dim=1)
        t_B = torch.full_like(state.job.seed_B, timestep)
        h_BLC = self.student(x_BLd, t_B, state.cond)
        parts = (
            snapped(self.board.quantize, x_BLd[:, : min(known, split)]),
            self._likeliest(h_BLC[:, known:split], state),
            x_BLd[:, split:known],
            self.student.vectors(h_BLC[:, max(known, split) :], state.cond),
        )
        state.x_BLd = torch.cat(parts, dim=1)
        last = state.number + 1 == len(state.passes)
        state.done = self.total if last else self.before(state.few.start or state.few.turn)
        self._tell(state, "student", state.x_BLd)

    def _likeliest(self, h_BnC: Tensor, state: OneShotState) -> Tensor:
        """The vector of the likeliest code, [B,n,d]; a few pictures' logits at a time."""
        table, most = self.board.quantize, GPU_VALUES if h_BnC.is_cuda else CPU_VALUES
        together = max(1, most // max(1, h_BnC.shape[1] * len(table.table_VC)))
        ids = []
        for first in range(0, len(h_BnC), together):
            rows = slice(first, first + together)
            ids.append(self.student.logits(h_BnC[rows], state.cond.take(rows)).argmax(-1))
        return table.lookup(torch.cat(ids))

    def _ask_teacher(self, state: OneShotState) -> None:
        """One unit more of the teacher, behind the codes nearest to what the student made."""
        assert self.teacher is not None
        walk = self.teacher.walk(state.few.cached)
        if state.taught is None:
            state.taught = walk.start(self._lesson(state, self.teacher.cache))
        walk.advance(state.taught)
        state.done = state.taught.done
        ids_Bn = torch.cat(walk.codes(state.taught).data, dim=1)[:, : state.done]
        made_Bnd = self.board.quantize.lookup(ids_Bn).to(state.x_BLd.dtype)
        state.x_BLd = torch.cat([made_Bnd, state.x_BLd[:, state.done :]], dim=1)
        self._tell(state, "teacher", made_Bnd)

    def _lesson(self, state: OneShotState, cache: CacheMaker) -> Job:
        """What the teacher is asked: the units before the turn, behind those that the student made."""
        prefix = None
        if state.few.start:
            x_Bnd = state.x_BLd[:, : self.before(state.few.start)]
            prefix = self.board.codes_of(nearest(self.board.quantize, x_Bnd))
        given = state.job.given._replace(prefix=prefix)
        return state.job._replace(given=given, until=state.few.turn, cache=cache)

    def _tell(self, state: OneShotState, name: str, value: Tensor) -> None:
        if state.job.trace is not None:
            state.job.trace(name, value)


def passes(few: FewSteps) -> tuple[int | None, ...]:
    """Timesteps of the student in order, None for every unit of the teacher."""
    first = (0,) if few.start != 0 else ()
    taught = (None,) * (few.turn - few.start) if few.start is not None else ()
    return (*first, *taught, *((few.turn,) if few.steps > 1 else ()))


def nearest(table: Quantizer, x_Bnd: Tensor) -> Tensor:
    """Ids [B,n] of the closest codes."""
    return table.nearest(x_Bnd.flatten(0, 1)).view(x_Bnd.shape[:2])


def snapped(table: Quantizer, x_Bnd: Tensor) -> Tensor:
    """Each vector's closest code."""
    return table.lookup(nearest(table, x_Bnd)).to(x_Bnd.dtype)
