"""Replay of the flow map fixture: velocities, paths and end points by either solver.

No official code of the map exists; the fixture is a float64 reference of the closed form, and so is this.
"""

import re

import torch
from genstudio_kernels.nearest_code import nearest_code
from torch import Tensor

from genstudio.distillation.flow import Solver
from genstudio.distillation.flow_map import end_point, trajectory, velocity
from genstudio.parity.fixture import Fixture

REFERENCE = Solver(method="euler", steps=4000)


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of the fixture, for any vocabulary, width, number of tokens and list of steps."""
    noise_RC, table_VC = fixture.fed("noise").double(), fixture.fed("codebook").double()
    log_p_RV = fixture.fed("logits").double().log_softmax(-1)
    times = fixture.fed("query_t").double()
    coarsest = Solver(method="euler", steps=fixture.meta["config"]["euler_steps"][0])
    made = {
        "velocity": torch.stack([velocity(noise_RC, float(t), log_p_RV, table_VC) for t in times], dim=1),
        "euler_traj": torch.stack(list(trajectory(noise_RC, log_p_RV, table_VC, coarsest)), dim=1),
    }
    for name, solver in _solvers(fixture).items():
        end_RC = end_point(noise_RC, log_p_RV, table_VC, solver)
        made |= {f"{name}_x1": end_RC, f"{name}_idx": nearest_code(end_RC, table_VC, "torch")}
    return {name: value.float() if value.is_floating_point() else value for name, value in made.items()}


def _solvers(fixture: Fixture) -> dict[str, Solver]:
    """By the names of the outputs: euler10_x1, reference_x1."""
    solvers = {"reference": REFERENCE}
    for name in fixture.outputs:
        if match := re.fullmatch(r"(euler|heun)(\d+)_x1", name):
            method, steps = match.groups()
            solvers[method + steps] = Solver(
                method="euler" if method == "euler" else "heun", steps=int(steps)
            )
    return solvers
