"""VAR as a pure network: equal calls, spans that add up, rows that do not touch each other."""

import math
from dataclasses import replace

import pytest
import torch

from genstudio import registry
from genstudio.configs.var import VARConfig
from genstudio.generators.var import VAR, initialise, teacher_forced
from genstudio.samplers.values import Feed, Given
from tests.releases import tiny

CONFIGS = [tiny.GENERATOR, replace(tiny.GENERATOR, shared_adaln=True, l2_attention=False, sizes=(1, 3, 5))]


def network(config: VARConfig) -> VAR:
    built = tiny.network(config).double()
    assert isinstance(built, VAR)
    for value in built.parameters():
        value.data *= 0.2
    return built


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_a_span_after_a_span_equals_the_whole(config: VARConfig) -> None:
    var = network(config)
    cond = var.condition(Given(torch.tensor([1, 2])), null=True)
    x = torch.randn(4, config.slots, config.width, dtype=torch.float64, generator=torch.manual_seed(0))
    feed = Feed(torch.arange(config.slots)[None], var.order.mask())
    half = var.forward(x, feed, cond, span=slice(0, 1))
    whole = var.forward(x, feed, cond)
    torch.testing.assert_close(var.forward(half, feed, cond, span=slice(1, None)), whole, atol=0, rtol=0)


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_a_scale_sees_itself_and_coarser_scales_alone(config: VARConfig) -> None:
    var = network(config)
    feeds = torch.randn(1, config.slots - 1, config.code_width, dtype=torch.float64)
    begin, end = config.bounds[-1]
    changed = feeds.clone()
    changed[:, begin - 1 : end - 1] += 1
    given = Given(torch.tensor([0]))
    before, after = teacher_forced(var, feeds, given), teacher_forced(var, changed, given)
    assert before[:, :begin].equal(after[:, :begin])
    assert not before[:, begin:].equal(after[:, begin:])


@torch.no_grad()
def test_rows_do_not_influence_each_other() -> None:
    var = network(tiny.GENERATOR)
    feeds = torch.randn(3, 20, 8, dtype=torch.float64)
    together = teacher_forced(var, feeds, Given(torch.tensor([0, 1, 2])))
    alone = teacher_forced(var, feeds[1:2], Given(torch.tensor([1])))
    torch.testing.assert_close(together[1:2], alone, atol=1e-9, rtol=0)


def test_the_condition_has_null_rows_at_the_end() -> None:
    var = network(tiny.GENERATOR)
    cond = var.condition(Given(torch.tensor([3, 4])), null=True)
    null = var.condition(Given(torch.tensor([10, 10])), null=False)
    assert cond.start_RTD.shape == (4, 1, tiny.GENERATOR.width)
    torch.testing.assert_close(cond.take(slice(2, 4)).start_RTD, null.start_RTD)
    for both, alone in zip(cond.rows, null.rows, strict=True):
        torch.testing.assert_close(both[2:], alone)


def test_without_labels_the_error_says_so() -> None:
    with pytest.raises(ValueError, match="labels"):
        network(tiny.GENERATOR).condition(Given(), null=False)


def test_fresh_weights_predict_all_codes_alike() -> None:
    """Official initial values: a fresh network's loss is log V, whatever it is fed."""
    var = registry.build(tiny.GENERATOR, "cpu")
    assert isinstance(var, VAR)
    initialise(var, torch.Generator().manual_seed(1))
    logits = teacher_forced(var, torch.randn(2, 20, 8), Given(torch.tensor([0, 1])))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.arange(42) % 64)
    assert abs(loss.item() - math.log(64)) < 0.02


def test_initial_values_come_from_the_generator_alone() -> None:
    first, again = registry.build(tiny.GENERATOR, "cpu"), registry.build(tiny.GENERATOR, "cpu")
    for var in (first, again):
        assert isinstance(var, VAR)
        initialise(var, torch.Generator().manual_seed(7))
    assert all(a.equal(b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
