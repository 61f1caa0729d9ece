"""AdamW's groups, the schedules, the average of weights, rewritten rows."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from genstudio.training.objectives.base import Rewrite
from genstudio.training.optimizer import averaged, build_optimizer, learning_rate, rewrite
from genstudio.training.recipe import Optimizer


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.table = nn.Embedding(5, 3)
        self.slot_pos = nn.Parameter(torch.ones(1, 5, 3))
        self.scale = nn.Parameter(torch.ones(4))


def test_vectors_biases_and_named_weights_are_not_decayed() -> None:
    net = Net()
    decayed, spared = build_optimizer([net], Optimizer(lr=1.0, weight_decay=0.1), ("slot_pos",)).param_groups
    assert {id(value) for value in decayed["params"]} == {id(net.linear.weight), id(net.table.weight)}
    assert {id(value) for value in spared["params"]} == {
        id(net.linear.bias),
        id(net.slot_pos),
        id(net.scale),
    }
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_schedules_warm_up_peak_and_end(schedule: str) -> None:
    settings = Optimizer.model_validate({"lr": 2.0, "schedule": schedule, "warmup": 0.1, "final": 0.25})
    rates = [learning_rate(settings, step, 1000) for step in range(1001)]
    assert 0 < rates[0] < rates[50] < rates[99] < 2.0 == rates[100] == max(rates)
    assert rates[1000] == pytest.approx(2.0 if schedule == "constant" else 0.5)
    assert all(a >= b for a, b in pairwise(rates[100:]))


def test_linear_is_flat_for_a_twentieth_after_the_warm_up() -> None:
    settings = Optimizer(lr=1.0, schedule="linear", warmup=0.0)
    assert learning_rate(settings, 50, 1000) == 1.0
    assert learning_rate(settings, 525, 1000) == pytest.approx(0.5)


def test_the_average_follows_at_a_rate_that_slows_down() -> None:
    net = nn.Linear(1, 1, bias=False)
    mean, expected = averaged(net, 0.9), 0.0
    for step in range(200):
        with torch.no_grad():
            net.weight.fill_(float(step))
        mean.update_parameters(net)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = float(step) if step == 0 else decay * expected + (1 - decay) * step
    assert mean.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_a_rewritten_row_is_new_everywhere_and_has_no_moments() -> None:
    net = Net()
    mean = averaged(net, 0.9)
    optimizer = build_optimizer([net], Optimizer(lr=0.1), ())
    net.table.weight.square().sum().backward()
    optimizer.step()
    before = net.table.weight.detach().clone()
    rewrite(
        Rewrite("table.weight", torch.tensor([1, 4]), torch.full((2, 3), 7.0)), net, mean.module, optimizer
    )
    for table_VD in (net.table.weight, mean.module.table.weight):
        assert torch.equal(table_VD[[1, 4]], torch.full((2, 3), 7.0))
    assert torch.equal(net.table.weight[[0, 2, 3]], before[[0, 2, 3]])
    moments = optimizer.state[net.table.weight]["exp_avg"]
    assert moments[[1, 4]].abs().sum() == 0 < moments[[0, 2, 3]].abs().min()
