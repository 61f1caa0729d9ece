"""The flow map of Distilled Decoding (arXiv 2412.17153, section 3.2): noise to code, without chance.

The path x_t = (1 - t) noise + t code has a velocity in closed form, because codes are a finite table:
v(x, t) = (D(x, t) - x) / (1 - t), where D is the mean of the codes c_j under the weights
softmax_j(log p_j - |x - t c_j|^2 / (2 (1 - t)^2)). Integrated from 0 to 1 it carries N(0, I) to the law p.
The authors released no code of it. Positions are rows of one product with the table, never a loop.
Shapes: R rows (one per position of a picture), V codes, C code width, S solver steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from genstudio_kernels.nearest_code import nearest_code
from genstudio_kernels.select import chosen
from torch import Tensor

from genstudio.distillation.flow import Solver
from genstudio.samplers.draws import At, Draws, Use

PIECE = 1 << 18  # weights held at one time on a CPU: they should stay in its cache
GPU_PIECE = 1 << 26


def velocity(x_RC: Tensor, t: float, log_p_RV: Tensor, table_VC: Tensor) -> Tensor:
    """v(x, t) for 0 <= t < 1; `log_p_RV` may hold -inf. |x|^2 is the same for all codes and left out of the
    exponent."""
    rest = 1 - t
    half_norm_V = 0.5 * table_VC.square().sum(-1)
    score_RV = torch.add(log_p_RV, x_RC @ table_VC.T - t * half_norm_V, alpha=t / rest**2)
    return (score_RV.softmax(-1) @ table_VC - x_RC) / rest


def trajectory(noise_RC: Tensor, log_p_RV: Tensor, table_VC: Tensor, solver: Solver) -> Iterator[Tensor]:
    """The states [R,C] at t = 0, 1/S, ..., 1. The last step is Euler's, which lands on D itself."""
    x_RC, dt = noise_RC, 1 / solver.steps
    yield x_RC
    for step in range(solver.steps):
        v_RC = velocity(x_RC, step / solver.steps, log_p_RV, table_VC)
        if solver.method == "heun" and step + 1 < solver.steps:
            ahead_RC = velocity(x_RC + dt * v_RC, (step + 1) / solver.steps, log_p_RV, table_VC)
            v_RC = (v_RC + ahead_RC) / 2
        x_RC = x_RC + dt * v_RC
        yield x_RC


def end_point(noise_RC: Tensor, log_p_RV: Tensor, table_VC: Tensor, solver: Solver) -> Tensor:
    """Where the flow takes the noise: [R,C], near a code."""
    *_, x_RC = trajectory(noise_RC, log_p_RV, table_VC, solver)
    return x_RC


def mapped(noise_RC: Tensor, p_RV: Tensor, table_VC: Tensor, solver: Solver) -> Tensor:
    """The code [R] that each row's noise becomes under its law: the nearest one to the end point."""
    rows = max(1, (GPU_PIECE if p_RV.is_cuda else PIECE) // p_RV.shape[-1])
    pieces = zip(noise_RC.split(rows), p_RV.split(rows), strict=True)
    ends = [end_point(noise, p.log(), table_VC, solver) for noise, p in pieces]
    return nearest_code(torch.cat(ends), table_VC, chosen(table_VC.device.type))


@dataclass(frozen=True, slots=True)
class MappedDraws:
    """Draws whose categories are picked by the flow map, so that any walk of a teacher makes its pairs.

    The noise of a code is drawn as START at its place, where a student's sampler finds the same values. All
    other draws are those of `draws`. `table_VC` are the codes as the tokenizer compares them.
    """

    draws: Draws
    table_VC: Tensor
    solver: Solver

    def uniform(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return self.draws.uniform(use, at, shape)

    def normal(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return self.draws.normal(use, at, shape)

    def exponential(self, use: Use, at: At, shape: tuple[int, ...] = ()) -> Tensor:
        return self.draws.exponential(use, at, shape)

    def below(self, use: Use, at: At, high: int) -> Tensor:
        return self.draws.below(use, at, high)

    def order(self, use: Use, seed_B: Tensor, n: int) -> Tensor:
        return self.draws.order(use, seed_B, n)

    def pick(self, use: Use, at: At, p_RV: Tensor) -> Tensor:
        """The code that the noise of each place becomes."""
        del use
        noise_RC = self.draws.normal(Use.START, at, (self.table_VC.shape[1],))
        return mapped(noise_RC.to(p_RV.dtype), p_RV, self.table_VC.to(p_RV.dtype), self.solver)

    def spend(self, use: Use, count: int | Tensor) -> None:
        self.draws.spend(use, count)
