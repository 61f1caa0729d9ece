"""What the solver promises, whatever the chain."""

import math

import pytest
import torch
from torch import Tensor

from genstudio.samplers.chains import Chain, ddpm, euler, uniform_grid, xar_sde
from genstudio.samplers.diffusion import Diffusion, cosine_abar, timesteps
from genstudio.samplers.solve import solve

X = torch.tensor([[0.3, -1.2]], dtype=torch.float64)
LEARNED = ddpm(Diffusion.retain(cosine_abar(), timesteps("5", clip=950)), "learned")


def half(x: Tensor, row: int) -> tuple[Tensor, Tensor]:
    return 0.3 * x, torch.full_like(x, 0.5)


def ones(row: int) -> Tensor:
    return torch.ones_like(X)


@pytest.mark.parametrize("chain", [LEARNED, xar_sde(4), euler(uniform_grid(3))])
def test_the_field_is_called_once_per_row_and_noise_never_for_the_last(chain: Chain) -> None:
    called: list[int] = []
    asked: list[int] = []

    def field(x: Tensor, row: int) -> tuple[Tensor, None]:
        called.append(row)
        return x, None

    def noise(row: int) -> Tensor:
        asked.append(row)
        return X

    solve(field, chain, X, noise)
    assert called == list(range(chain.steps))
    assert asked == [row for row in range(chain.steps - 1) if chain.low_S[row] > -math.inf]


def test_density_of_a_sample() -> None:
    """The last row's deviation, and the sum of the logs of those before, which knows no temperature."""
    solved = solve(half, LEARNED, X, ones, temperature=0.5)
    logstd_S = (LEARNED.low_S + LEARNED.high_S) / 2
    torch.testing.assert_close(solved.std, 0.5 * logstd_S[-1].exp().expand_as(X))
    torch.testing.assert_close(solved.logstd_sum, logstd_S[:-1].sum().expand_as(X))
    flow = solve(half, euler(uniform_grid(3)), X)
    assert not flow.std.any() and not flow.logstd_sum.any()


def test_temperature_scales_the_noise_alone() -> None:
    cold, warm, hot = (solve(half, LEARNED, X, ones, temperature).x for temperature in (0.0, 1.0, 2.0))
    torch.testing.assert_close(hot - cold, 2 * (warm - cold))
    assert bool((warm != cold).all())


def test_a_chain_with_noise_needs_a_source() -> None:
    with pytest.raises(ValueError, match="noise"):
        solve(half, LEARNED, X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_state_keeps_its_dtype(dtype: torch.dtype) -> None:
    def field(x: Tensor, row: int) -> tuple[Tensor, None]:
        assert x.dtype == dtype
        return x.float(), None

    solved = solve(field, xar_sde(3), X.to(dtype), ones)
    assert {part.dtype for part in solved} == {dtype}


def test_pinned_places_are_overwritten_before_every_row() -> None:
    seen: list[float] = []

    def pin(x: Tensor, row: int) -> Tensor:
        return torch.where(torch.tensor([True, False]), float(row), x)

    def field(x: Tensor, row: int) -> tuple[Tensor, None]:
        seen.append(float(x[0, 0]))
        return x, None

    solve(field, euler(uniform_grid(3)), X, pin=pin)
    assert seen == [0.0, 1.0, 2.0]


def test_a_trace_sees_every_row_and_changes_nothing() -> None:
    seen: list[tuple[str, Tensor]] = []
    traced = solve(half, LEARNED, X, ones, trace=lambda name, tensor: seen.append((name, tensor)))
    assert [name for name, _ in seen] == ["field", "state"] * LEARNED.steps
    assert torch.equal(seen[-1][1], traced.x)
    assert torch.equal(traced.x, solve(half, LEARNED, X, ones).x)
