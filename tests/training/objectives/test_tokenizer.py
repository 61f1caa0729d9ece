"""The tokenizer's objective: what it sums, how codes restart, what the critic may touch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genstudio.evaluation.classifier import Classifier
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.training.objectives.adversarial import (
    Critic,
    adaptive_weight,
    critic_loss,
    fooling_loss,
)
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.tokenizer import CODEBOOK, TokenizerObjective
from genstudio.training.prepare import prepare
from tests.training import tiny

CPU = torch.device("cpu")


def objective(pictures: Path, **changes: Any) -> TokenizerObjective:
    made = prepare(tiny.recipe(tiny.VQ, pictures, **changes), CPU, lambda _: None).objective
    assert isinstance(made, TokenizerObjective)
    return made


def batch(step: int = 0, progress: float = 0.0, epoch: int = 0) -> Batch:
    index_B = torch.arange(6)
    place_B2 = torch.stack([torch.full_like(index_B, epoch), index_B], dim=1)
    return Batch(step, progress, index_B, At(torch.full_like(index_B, 3), place_B2), KeyedDraws(), index_B)


def test_the_total_is_the_weighted_sum_of_the_parts(pictures: Path) -> None:
    losses = objective(pictures, objective__l1=0.5, objective__l2=2.0, objective__vq=0.25).losses(batch())
    parts = losses.parts
    expected = 0.5 * parts["l1"] + 2.0 * parts["l2"] + 0.25 * parts["vq"]
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_flips_are_keyed_by_epoch_and_example(pictures: Path) -> None:
    flips = [batch(epoch=epoch).coin(Use.FLIP, 0.5) for epoch in range(40)]
    share = torch.stack(flips).float().mean().item()
    assert tiny.fits(share, 0.5, 240)
    unfair = torch.stack([batch(epoch=epoch).coin(Use.FLIP, 0.7) for epoch in range(40)])
    assert not tiny.fits(unfair.float().mean().item(), 0.5, 240)
    part = batch(epoch=1)
    late = part._replace(index_B=part.index_B[3:], at=At(part.at.seed_R[3:], part.at.index_RK[3:]))
    assert torch.equal(late.coin(Use.FLIP, 0.5), flips[1][3:])


def test_idle_codes_restart_at_vectors_of_the_batch(pictures: Path) -> None:
    made = objective(pictures, objective__restart_after=2)
    losses = made.losses(batch())
    used_V = losses.counts["codes"].sum(dim=0) > 0
    vectors_MD = torch.cat(made._residuals[0])
    (change,) = made.after_step(batch(), losses.counts)
    assert change.name == CODEBOOK
    assert torch.equal(change.row_N, (~used_V).nonzero()[:, 0])
    assert (torch.cdist(change.value_ND, vectors_MD).amin(dim=1) < 1e-3).all()
    assert made.after_step(batch(), made.losses(batch()).counts) == ()


def test_codes_compared_by_angle_begin_and_restart_at_length_one(pictures: Path) -> None:
    recipe = tiny.recipe(tiny.GRID_VQ, pictures, objective__restart_after=2)
    made = prepare(recipe, CPU, lambda _: None).objective
    assert isinstance(made, TokenizerObjective)
    table_VC = made.network.quantize.table_VC
    torch.testing.assert_close(table_VC.norm(dim=1), torch.ones(32))
    losses = made.losses(batch())
    assert losses.counts["codes"].shape == (1, 32) and losses.counts["codes"].sum() == 6 * 16
    (change,) = made.after_step(batch(), losses.counts)
    torch.testing.assert_close(change.value_ND.norm(dim=1), torch.ones(len(change.row_N)))
    losses.total.backward()
    assert all(value.grad is not None for value in made.network.parameters())


def test_a_code_restarts_after_so_many_idle_steps_and_a_used_one_never(pictures: Path) -> None:
    made = objective(pictures, objective__restart_after=3)
    made.after_step(batch(), made.losses(batch()).counts)
    restarted: list[int] = []
    for step in range(1, 4):
        counts = made.losses(batch(step)).counts
        for change in made.after_step(batch(step), counts):
            restarted += change.row_N.tolist()
            assert not (counts["codes"].sum(dim=0)[change.row_N] > 0).any()
        if step < 3:
            assert restarted == []
    assert restarted


def test_perplexity_is_the_number_of_codes_evenly_used(pictures: Path) -> None:
    counts_KV = torch.zeros(3, 32, dtype=torch.int64)
    counts_KV[0, 5] = 9
    counts_KV[1, :4] = 7
    counts_KV[2] = 2
    found = objective(pictures).derive({"codes": counts_KV})
    assert found["perplexity"].tolist() == pytest.approx([1.0, 4.0, 32.0])
    assert found["use"].tolist() == pytest.approx([1 / 32, 4 / 32, 1.0])
    assert found["codes_used"].item() == 1.0


def test_the_critic_starts_late_and_each_side_gets_its_own_gradient(pictures: Path) -> None:
    made = objective(pictures, objective__adversarial=0.5, objective__adversarial_start=0.5)
    assert "critic" not in made.losses(batch(progress=0.4)).parts
    losses = made.losses(batch(progress=0.5))
    losses.total.backward()
    critic = made.helpers["critic"]
    together = [value.grad.clone() for value in critic.parameters() if value.grad is not None]
    critic.zero_grad()
    made.losses(batch(progress=0.5)).parts["critic"].backward()
    alone = [value.grad for value in critic.parameters() if value.grad is not None]
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(together, alone, strict=True))


def test_fooling_teaches_the_picture_and_not_the_critic() -> None:
    critic, fake_BCHW = Critic(1, 8), torch.zeros(2, 1, 32, 32, requires_grad=True)
    fooling_loss(critic, fake_BCHW).backward()
    assert fake_BCHW.grad is not None and fake_BCHW.grad.abs().sum() > 0
    assert all(value.grad is None for value in critic.parameters())


def test_hinge_loss_stops_where_the_critic_is_sure() -> None:
    class Sure(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Tensor:
            return 2 * x_BCHW

    real_BCHW, fake_BCHW = torch.ones(1, 1, 2, 2), -torch.ones(1, 1, 2, 2)
    assert critic_loss(Sure(), real_BCHW, fake_BCHW).item() == 0.0
    assert critic_loss(Sure(), fake_BCHW, real_BCHW).item() == 3.0


def test_the_adaptive_weight_is_the_ratio_of_gradients() -> None:
    last = torch.tensor([1.0, 2.0], requires_grad=True)
    weight = adaptive_weight(3 * last.sum(), 0.5 * last.sum(), last)
    assert weight.item() == pytest.approx(6.0, rel=1e-3)
    assert adaptive_weight(1e9 * last.sum(), 0.0 * last.sum(), last).item() == pytest.approx(1e4)


def test_the_perceptual_loss_compares_maps_of_a_classifier(pictures: Path) -> None:
    torch.manual_seed(0)
    made = objective(pictures)
    made.extractor = Classifier(tiny.recipe(tiny.CLASSIFIER, pictures).network)
    x_BCHW = torch.rand(2, 1, 32, 32)
    assert made._feature_distance(made.extractor, x_BCHW, x_BCHW).item() == 0.0
    assert made._feature_distance(made.extractor, x_BCHW, x_BCHW.flip(-1)).item() > 0.0


def test_evaluation_measures_the_test_pictures(pictures: Path) -> None:
    class Black(nn.Module):
        def forward(self, x_BCHW: Tensor) -> Any:
            from genstudio.tokenizers.base import Reconstruction

            return Reconstruction(torch.full_like(x_BCHW, -2.0), None, None, ())

    made = objective(pictures)
    x_BCHW = made.test.pixels(range(10)).float() / 127.5 - 1
    found = made.evaluate(Black())
    assert found["test_l2"] == pytest.approx((x_BCHW + 1).square().mean().item(), rel=1e-5)
