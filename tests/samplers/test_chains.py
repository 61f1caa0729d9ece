"""Chains against their closed forms: published steps, orders of accuracy, laws that an exact network keeps.

For Gaussian data N(0, SPREAD^2) the exact prediction is linear in x, so a chain turns variance into variance.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genstudio.errors import GenstudioError
from genstudio.samplers.chains import (
    Chain,
    adams_bashforth,
    arflow_sde,
    ddim,
    ddpm,
    dpm_solver,
    euler,
    flowar_grid,
    shifted_grid,
    uniform_grid,
    xar_sde,
)
from genstudio.samplers.diffusion import Diffusion, cosine_abar, timesteps
from genstudio.samplers.solve import solve

SPREAD = 0.7
X = torch.tensor([0.3, -1.2], dtype=torch.float64)


def noise(row: int) -> Tensor:
    return torch.tensor([math.sin(row + 1), math.cos(3 * row)], dtype=torch.float64)


def wobble(x: Tensor, t: float) -> Tensor:
    """A velocity field without any structure."""
    return torch.sin(3 * x + t) - 0.2 * x


def run(chain: Chain) -> Tensor:
    times = chain.time_S.tolist()
    return solve(lambda x, row: (wobble(x, times[row]), None), chain, X, noise).x


def test_xar_steps() -> None:
    x, times = X, [*torch.linspace(1, 0.04, 7, dtype=torch.float64).tolist(), 0.0]
    for row, (t, after) in enumerate(pairwise(times)):
        drift = (2 - t) * wobble(x, t) + x
        x = x + drift * (after - t)
        if row < 6:
            x = x + math.sqrt(2 * t) * math.sqrt(t - after) * noise(row)
    torch.testing.assert_close(run(xar_sde(7)), x, atol=1e-12, rtol=0)


def test_arflow_steps() -> None:
    x, dt = X, 0.96 / 6
    for row in range(6):
        t = row * dt
        score = (t * wobble(x, t) - x) / (1 - t)
        x = x + (wobble(x, t) + (1 - t) * score) * dt + math.sqrt(2 * (1 - t) * dt) * noise(row)
    x = x + ((1 + 0.96) * wobble(x, 0.96) - x) * 0.04
    torch.testing.assert_close(run(arflow_sde(7)), x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kept", [1, 3, 8])
def test_dar_steps_and_previews(kept: int) -> None:
    """The preview's last step jumps to the end with the same weights."""
    schedule = shifted_grid(8, shift=2)
    x, before, times = X, X, [*schedule[:kept].tolist(), 1.0]
    for row, (t, after) in enumerate(pairwise(times)):
        v = wobble(x, t)
        x = x + (after - t) * (1.5 * v - 0.5 * before if row else v)
        before = v
    grid = torch.cat([schedule[:kept], schedule[-1:]])
    torch.testing.assert_close(run(adams_bashforth(grid)), x, atol=1e-12, rtol=0)


def test_published_grids() -> None:
    expected = [0, 0.0667, 0.1429, 0.2308, 0.3333, 0.4545, 0.6, 0.7778, 1]
    assert shifted_grid(8, shift=2).tolist() == pytest.approx(expected, abs=1e-4)
    assert uniform_grid(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert flowar_grid(15).tolist() == pytest.approx(
        [*torch.linspace(1, 0.3, 7).tolist(), *torch.linspace(0.25, 0, 8).tolist()]
    )
    assert torch.equal(flowar_grid(50), uniform_grid(50))
    assert [euler(flowar_grid(count)).steps for count in (15, 25, 26, 50)] == [14, 24, 26, 50]


def test_clipped_timesteps() -> None:
    assert timesteps("5", clip=950) == (0, 250, 500, 749, 950)
    lengths = {count: len(timesteps(str(count), clip=950)) for count in (21, 22, 25, 41, 42, 50, 100)}
    assert lengths == {21: 21, 22: 21, 25: 24, 41: 40, 42: 40, 50: 48, 100: 96}
    assert timesteps("ddim30", clip=980) == (*range(0, 979, 34), 980)
    assert len(timesteps("ddim100", clip=980)) == 99


@pytest.mark.parametrize("spec", ["1001", "400,700", "ddim1001", "ddim0"])
def test_more_steps_than_timesteps_are_refused(spec: str) -> None:
    with pytest.raises(GenstudioError, match="cannot be taken"):
        timesteps(spec)


def error_of(chain: Chain) -> float:
    """On dx/dt = 0.8 x over a unit of time."""
    span = 1.0 if chain.time_S[0] < 0.5 else -1.0
    x = solve(lambda x, row: (0.8 * x, None), chain, torch.ones(1, dtype=torch.float64)).x
    return abs(float(x) - math.exp(0.8 * span))


@pytest.mark.parametrize(
    ("chain", "order"),
    [
        (lambda count: euler(uniform_grid(count)), 1),
        (lambda count: adams_bashforth(shifted_grid(count, shift=1)), 2),
    ],
)
def test_orders_of_accuracy(chain: Callable[[int], Chain], order: int) -> None:
    assert error_of(chain(100)) / error_of(chain(200)) == pytest.approx(2**order, rel=0.05)


def variances(chain: Chain, slope: Callable[[float], float], start: float) -> Tensor:
    """Var(x) after every row but the last, where the network predicts slope(time) x."""
    variance, seen = start, []
    rows = zip(*(column.tolist() for column in chain), strict=True)
    for t, a, b, _, low, _ in rows:
        variance = (a + b * slope(t)) ** 2 * variance + math.exp(2 * low)
        seen.append(variance)
    return torch.tensor(seen[:-1])


def path_variance(t: float) -> float:
    """Of (1 - t) data + t noise."""
    return (1 - t) ** 2 * SPREAD**2 + t**2


def test_xar_keeps_the_law_of_its_path() -> None:
    chain = xar_sde(1000)
    seen = variances(chain, lambda t: (t - (1 - t) * SPREAD**2) / path_variance(t), 1.0)
    expected = torch.tensor([path_variance(t) for t in chain.time_S[1:].tolist()])
    torch.testing.assert_close(seen, expected, atol=0, rtol=0.03)


def test_a_drift_without_its_score_loses_the_law() -> None:
    """xAR's noise with plain Euler steps: the known-wrong sampler of the test above."""
    right = xar_sde(1000)
    wrong = euler(torch.cat([right.time_S, torch.zeros(1)]))._replace(low_S=right.low_S)
    seen = variances(wrong, lambda t: (t - (1 - t) * SPREAD**2) / path_variance(t), 1.0)
    assert float(seen[-1]) > 1.5 * path_variance(0.04)


def test_arflow_keeps_the_law_of_its_path() -> None:
    chain = arflow_sde(1000)
    seen = variances(chain, lambda t: (t * SPREAD**2 - (1 - t)) / path_variance(1 - t), 1.0)
    expected = torch.tensor([path_variance(1 - t) for t in chain.time_S[1:].tolist()])
    torch.testing.assert_close(seen, expected, atol=0, rtol=0.03)


def diffusion(spec: str) -> Diffusion:
    return Diffusion.retain(cosine_abar(), timesteps(spec, clip=950))


def eps_slope(abar: Tensor) -> Callable[[float], float]:
    """eps = sqrt(1 - abar) x / Var(x_t), by original timestep."""

    def slope(t: float) -> float:
        share = float(abar[int(t)])
        return math.sqrt(1 - share) / (share * SPREAD**2 + 1 - share)

    return slope


@pytest.mark.parametrize("variance", ["learned", "large"])
def test_ddpm_keeps_the_law_of_its_path(variance: str) -> None:
    whole = diffusion("1000")
    seen = variances(ddpm(whole, variance), eps_slope(cosine_abar()), 1.0)
    expected = (whole.abar_T * SPREAD**2 + 1 - whole.abar_T).flip(0)[1:]
    torch.testing.assert_close(seen[100:], expected[100:].float(), atol=0, rtol=0.03)


def test_learned_variances_lie_between_posterior_and_beta() -> None:
    chain = ddpm(diffusion("20"), "learned")
    assert bool((chain.low_S <= chain.high_S).all())
    assert bool(chain.low_S.isfinite().all()) and chain.steps == 20
    assert float(ddpm(diffusion("20"), "large").low_S[0]) == float(chain.high_S[0])


def test_a_diffusion_of_one_timestep_has_finite_numbers() -> None:
    chain = ddpm(diffusion("1"), "learned")
    assert chain.steps == 1 and all(bool(column.isfinite().all()) for column in chain)


def flow_error(chain: Chain, abar: Tensor) -> float:
    """Distance to the probability flow, x_0 = x_T SPREAD / std(x_T)."""
    times = chain.time_S.tolist()
    x = solve(lambda x, row: (eps_slope(abar)(times[row]) * x, None), chain, torch.ones(1).double()).x
    start = float(abar[int(times[0])])
    return abs(float(x) - SPREAD / math.sqrt(start * SPREAD**2 + 1 - start))


def test_ddim_follows_the_probability_flow() -> None:
    errors = [flow_error(ddim(diffusion(str(count))), cosine_abar()) for count in (50, 100, 200)]
    assert errors[2] < 0.01
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)


def test_dpm_solver_on_the_timesteps_of_a_diffusion_is_ddim() -> None:
    """With its log alphas spread evenly and one step per timestep, until the last one."""
    kept = Diffusion.retain(cosine_abar(), range(100))
    solver, plain = dpm_solver(kept.abar_T, 99, first=1.0), ddim(kept)
    torch.testing.assert_close(solver.a_S, plain.a_S[:-1], atol=1e-9, rtol=0)
    torch.testing.assert_close(solver.b_S, plain.b_S[:-1], atol=1e-9, rtol=0)
