"""The next-scale objective: the loss is the released sampler's own likelihood; labels drop by keyed draws."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from genstudio import registry
from genstudio.cache.full import FullCache
from genstudio.releases import weights
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.values import Codes, Feed, Given
from genstudio.training.initial import initialise
from genstudio.training.objectives.base import Batch
from genstudio.training.objectives.codes import cross_entropy
from genstudio.training.objectives.next_scale import NextScaleObjective
from genstudio.training.prepare import prepare
from genstudio.training.run import as_release
from tests.training import tiny

CPU = torch.device("cpu")


@pytest.fixture
def objective(pictures: Path, home: Path) -> NextScaleObjective:
    return make(pictures, home)


def make(pictures: Path, home: Path, **changes: Any) -> NextScaleObjective:
    vq = tiny.recipe(tiny.VQ, pictures)
    tokenizer = initialise(registry.build(vq.network, "cpu"), 0)
    with torch.no_grad():
        tokenizer.get_parameter("quantize.codebook.weight").mul_(20)
    folder = home / "models" / "tiny-vq"
    weights.save_release(folder, tokenizer, as_release(vq, folder, ()))
    made = prepare(tiny.recipe(tiny.VAR, pictures, **changes), CPU, lambda _: None).objective
    assert isinstance(made, NextScaleObjective)
    with torch.no_grad():
        for value in made.network.parameters():
            value.normal_(std=0.2, generator=torch.Generator().manual_seed(len(value)))
    return made


def batch(epoch: int = 0) -> Batch:
    index_B = torch.arange(8)
    place_B2 = torch.stack([torch.full_like(index_B, epoch), index_B], dim=1)
    return Batch(0, 0.0, index_B, At(torch.full_like(index_B, 3), place_B2), KeyedDraws(), index_B)


def test_an_untrained_head_has_the_loss_of_a_guess(objective: NextScaleObjective) -> None:
    with torch.no_grad():
        objective.network.head.weight.zero_()
        objective.network.head.bias.zero_()
    losses = objective.losses(batch())
    assert losses.total.item() == pytest.approx(math.log(32), rel=1e-5)
    assert losses.parts["scales"].shape == (3,)


@torch.no_grad()
def test_the_loss_is_the_likelihood_that_sampling_scale_by_scale_gives(
    objective: NextScaleObjective,
) -> None:
    network, pyramid = objective.network.eval(), objective.tokenizer.pyramid
    ids_BL, label_B = objective.train.take(torch.arange(4), None)
    sizes = [1, 4, 16]
    taught_BLV = torch.log_softmax(_teacher_logits(objective, ids_BL, label_B), dim=-1)
    cond = network.condition(Given(label_B), null=False)
    cache = FullCache(network.config.cache_spec(4, 21, "float32"), CPU)
    f_BChw, x_BnC, first = pyramid.start(4), cond.start_RTD, 0
    for scale, ids_Bn in enumerate(ids_BL.split(sizes, dim=1)):
        at_1n = torch.arange(first, first + sizes[scale])[None]
        logits_BnV = network.logits(network(x_BnC, Feed(at_1n), cond, cache), cond)
        cache.commit(sizes[scale])
        walked = torch.log_softmax(logits_BnV, dim=-1)
        assert torch.allclose(walked, taught_BLV[:, first : first + sizes[scale]], atol=2e-5)
        first += sizes[scale]
        f_BChw = pyramid.add(f_BChw, pyramid.lookup(ids_Bn), scale)
        if scale < 2:
            x_BnC = network.embed(pyramid.feed(f_BChw, scale + 1))


def _teacher_logits(
    objective: NextScaleObjective, ids_BL: torch.Tensor, label_B: torch.Tensor
) -> torch.Tensor:
    from genstudio.generators.var import teacher_forced

    codes = Codes("scales", ids_BL.split([1, 4, 16], dim=1))
    feeds_BnC = objective.tokenizer.pyramid.teacher(codes)
    logits_BLV = teacher_forced(objective.network, feeds_BnC, Given(label_B))
    nll = cross_entropy(logits_BLV, ids_BL)
    assert torch.allclose(nll, -torch.log_softmax(logits_BLV, -1).gather(2, ids_BL[..., None])[..., 0])
    return logits_BLV


def test_labels_drop_at_the_rate_asked_and_by_the_draws_alone(pictures: Path, home: Path) -> None:
    made = make(pictures, home, objective__label_drop=1.0, data__flip=False)
    with torch.no_grad():
        made.network.class_embed.weight[10] = 0.0
    dropped = made.losses(batch()).total
    with torch.no_grad():
        made.network.class_embed.weight[:10] = 3.0
    assert torch.equal(made.losses(batch()).total, dropped)
    for rate, right in ((0.1, True), (0.13, False)):
        drops_EB = torch.stack([batch(epoch).coin(Use.DROP, rate) for epoch in range(500)])
        assert tiny.fits(drops_EB.float().mean().item(), 0.1, 4000) is right


def test_the_initial_network_is_a_function_of_the_seed(pictures: Path) -> None:
    config = tiny.recipe(tiny.VAR, pictures).network
    torch.manual_seed(1)
    one = initialise(registry.build(config, "cpu"), 5).state_dict()
    torch.manual_seed(2)
    two = initialise(registry.build(config, "cpu"), 5).state_dict()
    other = initialise(registry.build(config, "cpu"), 6).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
