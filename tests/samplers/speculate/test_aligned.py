"""The ruling on drafts of continuous tokens: official numbers (fixture cspd), more channels than they bear,
what an exact test would say of one step."""

import pytest
import torch
from torch import Tensor

from genstudio.samplers.draws import At, KeyedDraws
from genstudio.samplers.solve import Solved
from genstudio.samplers.speculate.aligned import MOST_ROUNDS, Comparison, Ruling

DEVIATION = 0.0064  # of the last of 100 steps


def law(mean_NC: Tensor, std: float = DEVIATION, logstd_sum: float = -172.0) -> Solved:
    return Solved(mean_NC, torch.full_like(mean_NC, std), torch.full_like(mean_NC, logstd_sum))


def ruled(comparison: Comparison, draft: Solved, target: Solved, first: int = 0) -> Ruling:
    place_N = torch.arange(first, first + len(draft.x))
    return comparison.judge(draft.x, draft, target, At(place_N, place_N[:, None]), KeyedDraws())


@pytest.mark.parametrize("mode", ["official", "corrected"])
@pytest.mark.parametrize("channels", [16, 24, 64])
def test_no_number_of_channels_makes_a_ratio_nan(mode: str, channels: int) -> None:
    """The product of 24 deviations is 0 in float32, and the official ratio 0 / 0 (continuous-speculative)."""
    noise_NC = torch.randn(50, channels, generator=torch.manual_seed(1))
    draft, target = law(noise_NC), law(noise_NC + 0.01, logstd_sum=-171.99)
    official_N = draft.std.prod(1) / target.std.prod(1)
    assert bool(official_N.isnan().all()) is (channels > 17)
    comparison = Comparison("official" if mode == "official" else "corrected", tau=42.0)
    log_N = comparison.log_ratio(draft.x, draft, target)
    nearness = -channels * (0.01 / DEVIATION / 42) ** 2 / 2
    spread = channels * (0.01 if mode == "official" else -0.01)
    assert log_N == pytest.approx(torch.full((50,), nearness + spread).tolist(), abs=2e-3)
    ruling = ruled(comparison, draft, target)
    assert ruling.tokens_NC.isfinite().all() and (ruling.tokens_NC != 0).all()


def test_corrected_sees_all_spreads_the_same_way_round() -> None:
    """A draft whose trajectory is wider everywhere is less dense everywhere: it is accepted more easily."""
    x_NC = torch.zeros(1, 3)
    draft, target = law(x_NC, 2 * DEVIATION, -170.0), law(x_NC)
    assert Comparison("corrected").log_ratio(x_NC, draft, target) == pytest.approx(
        3 * 2 + 3 * 0.6931, abs=1e-3
    )
    assert Comparison("official").log_ratio(x_NC, draft, target) == pytest.approx(
        3 * 0.6931 - 3 * 2, abs=1e-3
    )


def test_equal_laws_accept_every_draft_and_draw_nothing() -> None:
    one = law(torch.randn(200, 4, generator=torch.manual_seed(2)))
    ruling = ruled(Comparison(), one, one)
    assert ruling.accepted_N.all() and ruling.tokens_NC is one.x and len(ruling.chance_TN) == 0


def test_where_drafts_have_the_noise_of_the_last_step_they_and_the_redrawn_follow_the_target() -> None:
    """The textbook case that the formulas come from, one step alone: Kolmogorov-Smirnov on 40,000 tokens of
    one channel, error rate 0.001. Wrong by the spreads' orientation, the same test refuses."""
    count, random = 40_000, torch.manual_seed(3)
    mean_NC = torch.zeros(count, 1)
    draft = Solved(mean_NC + 0.6, torch.full_like(mean_NC, 1.3), mean_NC)
    target = Solved(mean_NC, torch.ones_like(mean_NC), mean_NC)
    drafts_NC = draft.x + draft.std * torch.randn(count, 1, generator=random)
    place_N = torch.arange(count)

    def distance(comparison: Comparison, draft: Solved) -> float:
        at = At(place_N, place_N[:, None])
        token_N = comparison.judge(drafts_NC, draft, target, at, KeyedDraws()).tokens_NC[:, 0].sort().values
        share_N = torch.special.ndtr(token_N.double())
        return float((share_N - (place_N + 0.5) / count).abs().max()) * count**0.5

    assert distance(Comparison(), draft) < 1.95
    assert distance(Comparison(tau=3.0), draft) > 1.95
    wider = draft._replace(logstd_sum=mean_NC + 0.3)
    assert distance(Comparison("official"), wider) > 1.95


def test_a_token_is_ruled_on_whatever_its_neighbours_are() -> None:
    random = torch.manual_seed(4)
    draft, target = (law(torch.randn(64, 4, generator=random) * 0.01) for _ in range(2))
    together = ruled(Comparison(), draft, target)
    assert 0 < int(together.accepted_N.sum()) < 64
    parts = [slice(0, 10), slice(10, 64)]
    alone = [ruled(Comparison(), cut(draft, part), cut(target, part), part.start) for part in parts]
    assert torch.cat([one.tokens_NC for one in alone]).equal(together.tokens_NC)


def cut(one: Solved, part: slice) -> Solved:
    return Solved(*(value[part] for value in one))


def test_what_never_passes_is_officially_zero_and_here_what_the_target_made() -> None:
    """Drafts beside the target's mean, of a density that leaves nothing for the target."""
    target = law(torch.ones(5, 2))
    draft = law(torch.full((5, 2), 1 + 9 * DEVIATION), logstd_sum=-172.0)
    dense = draft._replace(std=draft.std * 1e3, logstd_sum=draft.logstd_sum - 50)
    official, ours = (
        ruled(Comparison("corrected", rounds=rounds), dense, target) for rounds in ("batch", "row")
    )
    assert not official.accepted_N.any() and len(official.chance_TN) == MOST_ROUNDS
    assert (official.tokens_NC == 0).all() and ours.tokens_NC.equal(target.x)


def test_a_draft_that_is_no_number_is_refused() -> None:
    target = law(torch.ones(5, 2))
    ruling = ruled(Comparison("official", tau=42.0), law(torch.full((5, 2), torch.nan)), target)
    assert not ruling.accepted_N.any() and ruling.tokens_NC.equal(target.x)
