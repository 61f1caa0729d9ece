"""DiSA's schedules and its DPM-Solver runs (fixture disa, arXiv 2505.20297)."""

import pytest
import torch

from genstudio.parity.fixture import Fixture
from genstudio.parity.mar_diffusion import denoiser
from genstudio.samplers.chains import dpm_solver
from genstudio.samplers.denoise import guided
from genstudio.samplers.diffusion import cosine_abar, timesteps
from genstudio.samplers.solve import solve
from genstudio.samplers.steps import Annealed
from tests.support import parity_folder


@pytest.fixture
def fixture() -> Fixture:
    return Fixture(parity_folder("disa"))


@torch.inference_mode()
def test_dpm_solvers(fixture: Fixture) -> None:
    """Both runs are one chain: at order 1 DPM-Solver++ is DPM-Solver."""
    chain = dpm_solver(cosine_abar()[:951], steps=10, first=0.95)
    head = denoiser(fixture.meta["config"], fixture.weights("diffloss.net."))
    start = fixture.fed("dpm_noise")
    solved = solve(guided(head, fixture.fed("dpm_z"), len(start), chain, weight=1.0), chain, start)
    verdicts = fixture.compare({"dpm.sample": solved.x, "dpmpp.sample": solved.x})
    assert len(verdicts) == 2 and all(verdict.fine for verdict in verdicts)


@pytest.mark.parametrize(
    ("name", "rule", "units"),
    [
        ("linear", Annealed(20, 4), 8),
        ("cosine", Annealed(20, 4, "cosine"), 6),
        ("two_stage", Annealed(16, 6, "two-stage"), 5),
        ("ddim", Annealed(20, 4), 5),
        ("paper_linear", Annealed(50, 5), 64),
        ("paper_cosine", Annealed(50, 5, "cosine"), 64),
        ("paper_two_stage", Annealed(50, 5, "two-stage"), 64),
        ("short_25_5", Annealed(25, 5), 32),
    ],
)
def test_annealed_schedules(fixture: Fixture, name: str, rule: Annealed, units: int) -> None:
    """Counts named, counts left after the clip, and the timesteps themselves, padded with -1."""
    spacing, clip = ("ddim{}", 980) if name == "ddim" else ("{}", 950)
    nominal = [rule.count(unit, units) for unit in range(units)]
    kept = [timesteps(spacing.format(count), clip=clip) for count in nominal]
    padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(one) for one in kept], True, -1)
    made = {
        f"sched.{name}.nominal_steps": torch.tensor(nominal),
        f"sched.{name}.actual_steps": torch.tensor([len(one) for one in kept]),
        f"sched.{name}.timesteps": padded,
    }
    verdicts = fixture.compare(made)
    assert len(verdicts) == 3 and all(verdict.fine for verdict in verdicts)
