"""Recorded draws: queues, tables, and SJD's acceptance replayed with them (fixture sjd-criterion)."""

from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.samplers.draws import At, Draws, Use
from genstudio.samplers.filters import apply
from genstudio.samplers.recipe import TopK, TopP
from genstudio.samplers.recorded import Queue, RecordedDraws, Table, inverse_cdf
from tests.support import parity_folder


def at(rows: int, *place: int, first: int = 0) -> At:
    return At(torch.arange(first, first + rows), torch.tensor([place] * rows, dtype=torch.int64))


def test_a_queue_hands_out_rows_in_call_order_and_may_be_shared() -> None:
    queue = Queue(torch.arange(12.0).view(6, 2))
    draws: Draws = RecordedDraws({Use.START: queue, Use.STEP: queue})
    assert draws.normal(Use.START, at(2, 0), (2,)).tolist() == [[0, 1], [2, 3]]
    assert draws.normal(Use.STEP, at(3, 0), (2,)).tolist() == [[4, 5], [6, 7], [8, 9]]
    assert draws.uniform(Use.START, at(2, 1)).tolist() == [10, 11]


def test_a_queue_that_runs_dry_or_is_not_empty_at_the_end_is_an_error() -> None:
    draws = RecordedDraws({Use.TOKEN: Queue(torch.rand(3))})
    draws.uniform(Use.TOKEN, at(2, 0))
    with pytest.raises(GenstudioError, match="never used") as left:
        draws.finish()
    assert left.value.code == Exit.CHECK
    with pytest.raises(GenstudioError, match="used up"):
        draws.uniform(Use.TOKEN, at(2, 0))
    draws.uniform(Use.TOKEN, at(1, 0))
    draws.finish()


def test_a_use_that_was_not_recorded_is_an_error() -> None:
    with pytest.raises(GenstudioError, match="PIXELS"):
        RecordedDraws({}).normal(Use.PIXELS, at(1))


def test_a_held_queue_moves_by_spend_alone() -> None:
    draws = RecordedDraws({Use.ACCEPT: Queue(torch.tensor([0.1, 0.2, 0.3]), hold=True)})
    assert (
        draws.uniform(Use.ACCEPT, at(1, 0), (2,)).tolist()
        == draws.uniform(Use.ACCEPT, at(2, 0))[None].tolist()
    )
    draws.spend(Use.ACCEPT, 2)
    ahead = draws.uniform(Use.ACCEPT, at(1, 0), (2,))
    assert ahead[0, 0] == torch.tensor(0.3) and ahead[0, 1].isnan()
    with pytest.raises(GenstudioError, match="used up"):
        draws.spend(Use.ACCEPT, 2)


def test_spend_is_free_where_reading_moved_the_queue() -> None:
    queue = Queue(torch.rand(3))
    draws = RecordedDraws({Use.ACCEPT: queue})
    draws.uniform(Use.ACCEPT, at(2, 0))
    draws.spend(Use.ACCEPT, 2)
    assert queue.left == 1


def test_a_table_is_read_at_picture_and_place() -> None:
    """Smoothing noise [B, L, V]: one race of V categories per code."""
    noise_BLV = torch.rand(2, 5, 7)
    draws = RecordedDraws({Use.SMOOTH: Table(noise_BLV)})
    assert torch.equal(draws.exponential(Use.SMOOTH, at(2, 3), (7,)), noise_BLV[:, 3])
    assert torch.equal(draws.exponential(Use.SMOOTH, at(1, 4, 6, first=1)), noise_BLV[1:, 4, 6])
    with pytest.raises(ValueError, match="per place"):
        draws.exponential(Use.SMOOTH, at(2, 3), (8,))


def test_orders_and_integers_are_read_as_recorded() -> None:
    order_BL = torch.tensor([[2, 0, 1], [1, 2, 0]])
    draws = RecordedDraws({Use.ORDER: Table(order_BL), Use.DRAFT: Queue(torch.tensor([3, 9]))})
    assert torch.equal(draws.order(Use.ORDER, torch.tensor([1, 0]), 3), order_BL[[1, 0]])
    assert draws.below(Use.DRAFT, at(1, 0), 4).tolist() == [3]
    with pytest.raises(ValueError, match="outside"):
        draws.below(Use.DRAFT, at(1, 0), 4)


def test_picks_race_where_noise_was_recorded_and_invert_the_cdf_elsewhere() -> None:
    p_RV = torch.tensor([[0.2, 0.0, 0.3, 0.5]])
    race = RecordedDraws({Use.TOKEN: Queue(torch.tensor([0.1, 1e-9, 1.0, 0.5]), race=True)})
    assert race.pick(Use.TOKEN, at(1, 0), p_RV).tolist() == [0]
    race.finish()
    queue = RecordedDraws({Use.TOKEN: Queue(torch.tensor([0.1, 0.2, 0.4999, 0.999999]))})
    assert queue.pick(Use.TOKEN, at(4, 0), p_RV.expand(4, -1)).tolist() == [0, 2, 2, 3]


def test_the_inverse_cdf_skips_empty_categories() -> None:
    p_RV = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    assert inverse_cdf(p_RV, torch.tensor([0.0, 0.0])).tolist() == [1, 2]
    assert inverse_cdf(p_RV, torch.tensor([1 - 2**-24, 1 - 2**-24])).tolist() == [1, 2]


class Window(NamedTuple):
    """One SJD window of L positions: accepted token and drafts, their q, fresh tokens and their p."""

    draft_L: Tensor
    q_LV: Tensor
    fresh_L: Tensor
    p_LV: Tensor

    def ratio(self) -> Tensor:
        """min(1, p_{i-1}(x_i) / q_i(x_i)), 1 at position 0."""
        p = self.p_LV[:-1].gather(1, self.draft_L[1:, None])
        q = self.q_LV[1:].gather(1, self.draft_L[1:, None])
        return torch.cat([torch.ones(1), (p / q).clamp(max=1)[:, 0]])

    def residual(self, i: int) -> Tensor:
        """softmax(filters(log max(p_{i-1} - q_i, 0))): officially filtered once more."""
        rest = (self.p_LV[i - 1] - self.q_LV[i]).clamp(min=0).log()
        return apply((TopK(10), TopP(0.9)), rest).softmax(-1)


@pytest.mark.parametrize("case", range(8))
def test_sjd_windows(case: int) -> None:
    io = load_file(parity_folder("sjd-criterion") / "io.safetensors")
    names = ("draft_tokens", "draft_prob", "advanced_tokens", "advanced_prob")
    window = Window(*(io[name][case] for name in names))
    draws = RecordedDraws(
        {Use.ACCEPT: Table(io["accept_uniforms"]), Use.RESIDUAL: Table(io["resample_uniforms"])}
    )
    length = len(window.draft_L)
    uniform_L = torch.cat([draws.uniform(Use.ACCEPT, at(1, i, first=case)) for i in range(length)])
    torch.testing.assert_close(window.ratio(), io["accept_ratio"][case], atol=1e-6, rtol=0)

    refused = (uniform_L >= window.ratio())[1:].nonzero()
    emitted = int(refused[0]) + 1 if len(refused) else length
    assert emitted == io["n_emitted"][case]

    tokens, residual = window.fresh_L.clone(), torch.zeros(24)
    tokens[: emitted - 1] = window.draft_L[1:emitted]
    if emitted < length:
        residual = window.residual(emitted)
        tokens[emitted - 1 : emitted] = draws.pick(Use.RESIDUAL, at(1, first=case), residual[None])
    torch.testing.assert_close(residual, io["residual_prob"][case], atol=1e-6, rtol=0)
    assert torch.equal(tokens, io["out_tokens"][case])
