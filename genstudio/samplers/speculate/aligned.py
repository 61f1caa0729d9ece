"""Whether a draft of a continuous token stands, and what takes the place of one that does not (CSpD,
arXiv 2411.11925).

Draft and target denoise a token from the same noise, so that of the two trajectories' densities only the
spreads differ, and the last step, where each has a mean and a deviation. All of it is in logarithms: the
official products of densities underflow above some 17 channels, where every ratio is NaN, every draft is
refused and zeros take its place. Where the official numbers exist, ours are the same.
Shapes: N tokens, C channels of a token, T rounds of proposals.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

from genstudio.samplers.draws import At, Draws, Use
from genstudio.samplers.solve import Solved

Mode = Literal["official", "corrected"]
Rounds = Literal["row", "batch"]
MOST_ROUNDS: Final = 100


class Ruling(NamedTuple):
    """Which drafts stand, the tokens in the end, and how likely every proposal was to be taken."""

    accepted_N: Tensor
    tokens_NC: Tensor
    chance_TN: Tensor


@dataclass(frozen=True, slots=True)
class Comparison:
    """The test of a draft x with q = the draft's law of the last step and p = the target's: accepted where
    W p(x) / q(x) > u, with deviations `tau` times as wide.

    W is what the spreads of the earlier steps make of the ratio of trajectories: "corrected" the draft's over
    the target's, as in the last step; "official" the inverse, as coded. Officially (`rounds` "batch") a
    refusal redraws all tokens of the batch until each has passed once, later ones in place of earlier ones,
    and what never passes is zero. Here every token keeps the first proposal that passes, whatever its
    neighbours do, and the target's own sample where none does.
    """

    mode: Mode = "corrected"
    tau: float = 1.0
    rounds: Rounds = "row"

    def judge(self, token_NC: Tensor, draft: Solved, target: Solved, at: At, draws: Draws) -> Ruling:
        """Rule on drafts at the places `at`; `x` of `draft` and `target` are the means of the last step.

        Draws ACCEPT, and for refused ones PROPOSAL and RESIDUAL (code, round).
        """
        log_ratio_N = self.log_ratio(token_NC, draft, target)
        accepted_N = log_ratio_N > draws.uniform(Use.ACCEPT, at).log()
        if bool(accepted_N.all()):
            return Ruling(accepted_N, token_NC, log_ratio_N.new_empty(0, len(token_NC)))
        redrawn_NC, chance_TN = self._redrawn(draft, target, ~accepted_N, at, draws)
        return Ruling(accepted_N, torch.where(accepted_N[:, None], token_NC, redrawn_NC), chance_TN)

    def log_ratio(self, token_NC: Tensor, draft: Solved, target: Solved) -> Tensor:
        """log(W p(x) / q(x)) of every token [N], with deviations `tau` times as wide."""
        nearness_N = log_kernel(token_NC, target, self.tau) - log_kernel(token_NC, draft, self.tau)
        return nearness_N + self.log_spread(draft, target) + (draft.std.log() - target.std.log()).sum(-1)

    def log_spread(self, draft: Solved, target: Solved) -> Tensor:
        """log W [N]."""
        log_N = (target.logstd_sum - draft.logstd_sum).sum(-1)
        return log_N if self.mode == "official" else -log_N

    def chance(self, token_NC: Tensor, draft: Solved, target: Solved) -> Tensor:
        """max(0, W p - q) / (W p) of every proposal [N]: what is left of p by the accepted drafts. Without
        `tau`, as officially."""
        log_N = log_density(token_NC, draft) - log_density(token_NC, target) - self.log_spread(draft, target)
        return (1 - log_N.exp()).clamp(min=0)

    def _redrawn(
        self, draft: Solved, target: Solved, refused_N: Tensor, at: At, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """Tokens for the refused places, drawn from the target until they pass, and the chances of all."""
        together = self.rounds == "batch"
        open_N = torch.ones_like(refused_N) if together else refused_N
        redrawn_NC, chances = torch.zeros_like(target.x) if together else target.x, list[Tensor]()
        while bool(open_N.any()) and len(chances) < MOST_ROUNDS:
            there = at.within(len(chances))
            noise_NC = draws.normal(Use.PROPOSAL, there, target.x.shape[1:])
            fresh_NC = target.x + target.std * noise_NC.to(target.x.dtype)
            chances.append(self.chance(fresh_NC, draft, target))
            passed_N = draws.uniform(Use.RESIDUAL, there) < chances[-1]
            taken_N = passed_N if together else passed_N & open_N
            redrawn_NC = torch.where(taken_N[:, None], fresh_NC, redrawn_NC)
            open_N = open_N & ~passed_N
        return redrawn_NC, torch.stack(chances)


def log_kernel(token_NC: Tensor, law: Solved, tau: float = 1.0) -> Tensor:
    """The exponent of the last step's density [N], its deviations `tau` times as wide."""
    return -((token_NC - law.x) / (law.std * tau)).square().sum(-1) / 2


def log_density(token_NC: Tensor, law: Solved) -> Tensor:
    """The log density of the last step [N]."""
    return log_kernel(token_NC, law) - (law.std.log() + math.log(2 * math.pi) / 2).sum(-1)
