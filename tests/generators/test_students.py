"""Students of VAR and LlamaGen: who sees whom, which positions hold data, and that rows stay apart."""

from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from genstudio.configs.students import LlamaGenStudentConfig, VARStudentConfig
from genstudio.generators.students import LlamaGenStudent, VARStudent
from genstudio.samplers.values import Given
from tests.releases import tiny

VAR_STUDENT = VARStudentConfig(
    **{key: value for key, value in asdict(tiny.GENERATOR).items() if key != "kind"}
)
LLAMAGEN_STUDENT = LlamaGenStudentConfig(
    depth=2, width=32, heads=4, hidden=48, vocab=32, side=4, classes=10, code_width=4
)
CONFIGS = [VAR_STUDENT, LLAMAGEN_STUDENT]
LEVELS = torch.tensor([0] + [1] * 4 + [2] * 16)


def student(config: VARStudentConfig | LlamaGenStudentConfig) -> VARStudent | LlamaGenStudent:
    made = tiny.network(config).double()
    assert isinstance(made, VARStudent | LlamaGenStudent)
    return made


def hidden(network: VARStudent | LlamaGenStudent, x_BLd: Tensor, t: list[int], labels: list[int]) -> Tensor:
    cond = network.condition(Given(torch.tensor(labels)), null=False)
    found: Tensor = network(x_BLd, torch.tensor(t), cond)
    return found


def noise(network: VARStudent | LlamaGenStudent, rows: int) -> Tensor:
    width, codes = network.config.code_width, network.order.codes
    return torch.randn(rows, codes, width, generator=torch.Generator().manual_seed(1)).double()


@torch.no_grad()
def test_a_position_of_var_sees_earlier_scales_and_itself() -> None:
    network = student(VAR_STUDENT)
    x_BLd = noise(network, 1)
    plain = hidden(network, x_BLd, [0], [3])
    for changed in (0, 2, 10):
        other_BLd = x_BLd.clone()
        other_BLd[:, changed] += 1
        moved_L = (hidden(network, other_BLd, [0], [3]) - plain).abs().amax((0, 2)) > 1e-9
        expected_L = (LEVELS[changed] < LEVELS) | (torch.arange(21) == changed)
        assert moved_L.equal(expected_L)


@torch.no_grad()
def test_a_position_of_llamagen_sees_itself_and_what_stands_before() -> None:
    network = student(LLAMAGEN_STUDENT)
    x_BLd = noise(network, 1)
    plain = hidden(network, x_BLd, [0], [3])
    other_BLd = x_BLd.clone()
    other_BLd[:, 5] += 1
    moved_L = (hidden(network, other_BLd, [0], [3]) - plain).abs().amax((0, 2)) > 1e-9
    assert moved_L.equal(torch.arange(16) >= 5)


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_the_timestep_marks_units_before_it_as_data(
    config: VARStudentConfig | LlamaGenStudentConfig,
) -> None:
    network = student(config)
    x_BLd = noise(network, 1)
    first, second = (hidden(network, x_BLd, [t], [3]) for t in (1, 2))
    unit = network.order.units()[1].made
    moved_L = (first - second).abs().amax((0, 2)) > 1e-9
    assert not moved_L[: unit.start].any() and moved_L[unit.start : unit.stop].all()


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_rows_with_other_classes_and_timesteps_stay_apart(
    config: VARStudentConfig | LlamaGenStudentConfig,
) -> None:
    network = student(config)
    x_BLd = noise(network, 3)
    together = hidden(network, x_BLd, [0, 1, 2], [3, 3, 8])
    cond = network.condition(Given(torch.tensor([3, 3, 8])), null=False)
    vectors_BLd, logits_BLV = network.vectors(together, cond), network.logits(together, cond)
    assert vectors_BLd.shape == x_BLd.shape and logits_BLV.shape[-1] == config.vocab
    for row, (t, label) in enumerate(((0, 3), (1, 3), (2, 8))):
        alone = hidden(network, x_BLd[row : row + 1], [t], [label])
        torch.testing.assert_close(alone[0], together[row])
        own = network.condition(Given(torch.tensor([label])), null=False)
        torch.testing.assert_close(network.vectors(alone, own)[0], vectors_BLd[row])
        torch.testing.assert_close(network.logits(alone, own)[0], logits_BLV[row])


@pytest.mark.parametrize("config", CONFIGS)
def test_a_student_keeps_no_keys(config: VARStudentConfig | LlamaGenStudentConfig) -> None:
    assert config.cache_spec(rows=8, capacity=100, dtype="float32", look=9).nbytes == 0
