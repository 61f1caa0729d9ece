"""Attention with a length per row: both twins against the softmax, said entry by entry, in float64.

Shapes: R rows, H heads, n fed tokens, p past entries, m = p + n entries, D head width.
"""

import math

import pytest
import torch
from genstudio_kernels.decode_attention import decode_attention
from genstudio_kernels.select import Kernels
from torch import Tensor

# R, H, n, p, D: one token and none before it; a window; a width that is no power of two; more tokens than
# a block holds; several spans of entries.
SHAPES = [(1, 1, 1, 0, 4), (3, 2, 1, 70, 64), (3, 2, 5, 61, 24), (2, 1, 70, 9, 16), (3, 2, 7, 600, 32)]
# Largest absolute errors of weighted means of values around 1.
ALLOWED = {torch.float32: 2e-6, torch.bfloat16: 0.03, torch.float64: 1e-13}
Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def arguments(shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu", rows: int = 1) -> Arguments:
    """Keys and values as slices of the buffers of a cache, lengths from none to all, some entries closed, and
    among the fed tokens a random tree (`rows` trees: 1 is one for all rows)."""
    R, H, n, p, D = shape
    generator = torch.Generator().manual_seed(p + n)
    q_RHnD = torch.randn(R, n, H, D, generator=generator, dtype=torch.float64).transpose(1, 2)
    kv_2RHcD = torch.randn(2, R, H, p + n + 3, D, generator=generator, dtype=torch.float64)
    length_R = torch.linspace(p, 0, R).round().long()
    open_Rc = torch.rand(R, p + 3, generator=generator) < 0.8
    among = torch.stack([tree(n, generator) for _ in range(rows)])
    k_RHmD, v_RHmD = kv_2RHcD.to(device, dtype)[..., : p + n, :]
    return (
        q_RHnD.to(device, dtype),
        k_RHmD,
        v_RHmD,
        length_R.to(device),
        open_Rc.to(device)[:, :p],
        among.to(device),
    )


def tree(nodes: int, generator: torch.Generator) -> Tensor:
    """Every node sees itself and its ancestors."""
    sees = torch.eye(nodes, dtype=torch.bool)
    for child in range(1, nodes):
        sees[child] |= sees[int(torch.randint(child, (), generator=generator))]
    return sees


def expected(given: Arguments, scale: float) -> Tensor:
    q_RHnD, k_RHmD, v_RHmD = (one.double().cpu() for one in given[:3])
    length_R, open_Rp, among_Rnn = (one.cpu() for one in given[3:])
    y_RHnD, past = torch.empty_like(q_RHnD), open_Rp.shape[1]
    for row, length in enumerate(length_R.tolist()):
        kept = [entry for entry in range(length) if open_Rp[row, entry]]
        among_nn = among_Rnn[row if len(among_Rnn) > 1 else 0]
        for token in range(q_RHnD.shape[2]):
            seen = kept + [past + other for other in among_nn[token].nonzero()[:, 0].tolist()]
            score_Hm = scale * torch.einsum("hd,hmd->hm", q_RHnD[row, :, token], k_RHmD[row][:, seen])
            y_RHnD[row, :, token] = torch.einsum("hm,hmd->hd", score_Hm.softmax(-1), v_RHmD[row][:, seen])
    return y_RHnD


def assert_attends(kernels: Kernels, given: Arguments) -> None:
    scale = 1 / math.sqrt(given[0].shape[-1])
    made = decode_attention(*given, scale, kernels)
    assert made.dtype == given[0].dtype and made.shape == given[0].shape
    allowed = ALLOWED[made.dtype]
    torch.testing.assert_close(made.double().cpu(), expected(given, scale), atol=allowed, rtol=0)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_torch_twin_attends(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    assert_attends("torch", arguments(shape, dtype))


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_triton_twin_attends(twin_device: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    assert_attends("triton", arguments(shape, dtype, twin_device))


def test_every_row_may_have_its_own_tree(twin_device: str) -> None:
    given = arguments((3, 2, 6, 20, 16), torch.float64, twin_device, rows=3)
    for kernels in ("torch", "triton"):
        assert_attends(kernels, given)  # type: ignore[arg-type]


def test_what_lies_past_the_length_is_not_read(twin_device: str) -> None:
    """A block of entries past all lengths may hold anything, even what is no number."""
    q, k, v, _, open_Rp, among = arguments((2, 1, 3, 320, 16), torch.float32, twin_device)
    length_R = torch.tensor([40, 64], device=twin_device)
    before = decode_attention(q, k, v, length_R, open_Rp, among, 0.25, "triton")
    k[:, :, 64:256], v[:, :, 64:256] = torch.nan, torch.nan
    assert decode_attention(q, k, v, length_R, open_Rp, among, 0.25, "triton").equal(before)


def test_the_custom_op_is_registered_properly(twin_device: str) -> None:
    given = arguments((2, 2, 3, 300, 16), torch.float32, twin_device)
    decode_attention(*given, 0.25, "triton")
    torch.library.opcheck(torch.ops.genstudio.decode_attention.default, (*given, 0.25))
