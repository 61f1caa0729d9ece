"""The flow map has the law that it is given, is reached by few steps of a solver, and picks in any walk.

Chi-square tests at 1e-4 on fixed noises: a right map fails one of the three laws once in 3,300 sets.
"""

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from genstudio.distillation.flow import Solver
from genstudio.distillation.flow_map import MappedDraws, end_point, mapped, velocity
from genstudio.errors import GenstudioError
from genstudio.samplers.draws import At, KeyedDraws, Use

NOISES, CODES, WIDTH, ALPHA = 4000, 12, 8, 1e-4
GENERATOR = torch.Generator().manual_seed(5)
TABLE = torch.nn.functional.normalize(torch.randn(CODES, WIDTH, generator=GENERATOR), dim=-1)
NOISE = torch.randn(NOISES, WIDTH, generator=GENERATOR)
LAWS = [
    torch.full((CODES,), 1 / CODES),
    torch.randn(CODES, generator=GENERATOR).mul(1.5).softmax(0),
    torch.tensor([0.5, 0.3, 0.15, 0.05] + [0.0] * (CODES - 4)),
]


@pytest.mark.parametrize("law_V", LAWS)
def test_noises_become_codes_by_their_law(law_V: Tensor) -> None:
    ids_R = mapped(NOISE, law_V.expand(NOISES, -1), TABLE, Solver())
    assert _share_of_worse(ids_R, law_V) > ALPHA


def test_a_wrong_map_is_rejected() -> None:
    sharper_V = LAWS[1] ** 1.25 / (LAWS[1] ** 1.25).sum()
    blind_R = mapped(NOISE, LAWS[0].expand(NOISES, -1), TABLE, Solver())
    for ids_R in (mapped(NOISE, sharper_V.expand(NOISES, -1), TABLE, Solver()), blind_R):
        assert _share_of_worse(ids_R, LAWS[1]) < ALPHA


def test_raw_codes_of_unlike_lengths_keep_their_law() -> None:
    table_VC = TABLE * torch.linspace(0.3, 2.5, CODES)[:, None]
    ids_R = mapped(NOISE, LAWS[1].expand(NOISES, -1), table_VC, Solver())
    assert _share_of_worse(ids_R, LAWS[1]) > ALPHA


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_more_steps_come_nearer_to_the_exact_flow(method: str) -> None:
    p_RV, noise_RC = LAWS[1].double().expand(500, -1), NOISE[:500].double()
    exact_R = mapped(noise_RC, p_RV, TABLE.double(), Solver(method="heun", steps=400))
    wrong = [_disagreement(method, steps, noise_RC, p_RV, exact_R) for steps in (2, 4, 8, 16, 64)]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] > 0.1 and wrong[-1] < 0.02


def test_twenty_steps_of_heun_find_what_two_hundred_of_euler_do() -> None:
    p_RV = LAWS[1].expand(NOISES, -1)
    found, long = (mapped(NOISE, p_RV, TABLE, one) for one in (Solver(), Solver(method="euler", steps=200)))
    assert (found == long).double().mean() > 0.99


def test_the_last_step_lands_on_the_mean_of_the_weights() -> None:
    log_p_RV = LAWS[1].log().expand(3, -1)
    one_R = end_point(NOISE[:3], log_p_RV, TABLE, Solver(method="euler", steps=1))
    torch.testing.assert_close(one_R, (LAWS[1] @ TABLE).expand(3, -1))
    v_RC = velocity(NOISE[:3], 0.0, log_p_RV, TABLE)
    torch.testing.assert_close(v_RC, one_R - NOISE[:3])


def test_a_certain_code_is_reached_from_anywhere() -> None:
    p_RV = torch.eye(CODES)
    assert mapped(4 * NOISE[:CODES], p_RV, TABLE, Solver()).tolist() == list(range(CODES))


def test_draws_pick_by_the_noise_of_their_place() -> None:
    keyed, at = KeyedDraws(), At.grid(torch.tensor([3, 9]), torch.arange(5)[:, None])
    draws = MappedDraws(keyed, TABLE, Solver())
    p_RV = LAWS[1].expand(10, -1)
    ids_R = draws.pick(Use.TOKEN, at, p_RV)
    noise_RC = keyed.normal(Use.START, at, (WIDTH,))
    assert torch.equal(ids_R, mapped(noise_RC, p_RV, TABLE, Solver()))
    assert torch.equal(ids_R[5:], draws.pick(Use.TOKEN, At(at.seed_R[5:], at.index_RK[5:]), p_RV[5:]))
    assert torch.equal(draws.uniform(Use.TOKEN, at), keyed.uniform(Use.TOKEN, at))


def test_no_step_is_no_solver() -> None:
    with pytest.raises(GenstudioError, match="0 steps"):
        Solver(steps=0)
    assert Solver(steps=20).velocities == 39 and Solver(method="euler", steps=20).velocities == 20


def _share_of_worse(ids_R: Tensor, law_V: Tensor) -> float:
    """Pearson's test: how often a sample of the law lies at least as far from it."""
    count_V = ids_R.bincount(minlength=CODES).double()
    kept_V = law_V > 0
    if count_V[~kept_V].sum() > 0:
        return 0.0
    expected_v = law_V[kept_V].double() * len(ids_R)
    statistic = ((count_V[kept_V] - expected_v) ** 2 / expected_v).sum()
    return float(chi2.sf(float(statistic), int(kept_V.sum()) - 1))


def _disagreement(method: str, steps: int, noise_RC: Tensor, p_RV: Tensor, exact_R: Tensor) -> float:
    solver = Solver(method="euler" if method == "euler" else "heun", steps=steps)
    return float((mapped(noise_RC, p_RV, TABLE.double(), solver) != exact_R).double().mean())
