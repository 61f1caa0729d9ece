"""The hash's twins: bit-equal, under Triton's interpreter on a CPU and compiled on a GPU."""

import pytest
import torch
from genstudio_kernels.keyed_hash import keyed_bits
from genstudio_kernels.select import chosen

from genstudio.samplers.draws import At, KeyedDraws, Use

EDGES = [0, -1, 1, 2**63 - 1, -(2**63), 0x0123456789ABCDEF]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device on which Triton runs."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return "cuda"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return "cpu"


@pytest.mark.parametrize("elements", [0, 1, 7, 1024, 2500])
def test_twins_are_bit_equal(device: str, elements: int) -> None:
    state_R = torch.tensor(EDGES, device=device)
    triton_RE = keyed_bits(state_R, elements, "triton")
    assert triton_RE.dtype == torch.int64 and triton_RE.shape == (len(EDGES), elements)
    assert torch.equal(triton_RE, keyed_bits(state_R, elements, "torch"))


def test_the_custom_op_is_registered_properly(device: str) -> None:
    state_R = torch.tensor(EDGES, device=device)
    keyed_bits(state_R, 1, "triton")
    torch.library.opcheck(torch.ops.genstudio.keyed_bits.default, (state_R, 100))


def test_draws_are_equal_with_either_twin(device: str) -> None:
    at = At(torch.tensor([4, -9], device=device), torch.tensor([[1], [2]], device=device))
    plain, fused = KeyedDraws("torch"), KeyedDraws("triton")
    assert torch.equal(plain.uniform(Use.TOKEN, at, (3, 5)), fused.uniform(Use.TOKEN, at, (3, 5)))
    assert torch.equal(plain.normal(Use.STEP, at, (33,)), fused.normal(Use.STEP, at, (33,)))
    p_RV = torch.rand(2, 50, device=device) + 0.1
    assert torch.equal(plain.pick(Use.TOKEN, at, p_RV), fused.pick(Use.TOKEN, at, p_RV))


def test_the_choice_of_a_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert chosen("cpu") == "torch"
    assert chosen("cuda", "torch") == "torch"
    with pytest.raises(ValueError, match="cpu"):
        chosen("cpu", "triton")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert chosen("cuda") == "torch"
