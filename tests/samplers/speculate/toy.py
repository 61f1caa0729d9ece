"""Chains that can be enumerated, as networks: the law of a code depends on its place and the code before it.

Shapes: B pictures, R rows, n slots, L codes of a picture, V codes.
"""

from itertools import product

import torch
from scipy import stats
from torch import Tensor

from genstudio.cache.protocol import KV, Query
from genstudio.samplers.draws import Draws, KeyedDraws
from genstudio.samplers.orders import RasterOrder
from genstudio.samplers.picks import law
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import ALL, Cond, Feed, Given
from genstudio.samplers.walk import Done, Job, Walk, run

CODES = 4
LENGTH = 4


class Chain:
    """Random logits for every place and code before; `sharpness` 0 makes all codes alike."""

    def __init__(self, seed: int, sharpness: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits_LVV = sharpness * torch.randn(LENGTH, CODES, CODES, generator=generator).double()
        self.order = RasterOrder(1, LENGTH)

    def condition(self, given: Given, null: bool) -> Cond:
        assert given.label_B is not None and not null
        return Cond(torch.zeros(len(given.label_B), 1, 2).double())

    def embed(self, ids_Rn: Tensor) -> Tensor:
        return ids_Rn.double()[..., None].expand(-1, -1, 2).clone()

    def forward(
        self, x_RnD: Tensor, feed: Feed, cond: Cond, cache: object = None, span: slice = ALL
    ) -> Tensor:
        """The code and its slot: all that the next code depends on."""
        x_RnD[..., 1] = feed.at_Rn
        return x_RnD

    def logits(self, h_RnD: Tensor, cond: Cond) -> Tensor:
        code_Rn, slot_Rn = h_RnD.long().unbind(-1)
        return self.logits_LVV[slot_Rn, code_Rn]

    def law(self, recipe: Recipe) -> Tensor:
        """How probable every picture is, in lexicographic order."""
        p_LVV = law(self.logits_LVV, recipe)
        pictures = torch.tensor(list(product(range(CODES), repeat=LENGTH)))
        before = torch.cat([torch.zeros_like(pictures[:, :1]), pictures[:, :-1]], dim=1)
        return p_LVV[torch.arange(LENGTH), before, pictures].prod(1)


class NoCache:
    """Chains remember nothing."""

    def write(self, layer: int, k_RHnD: Tensor, v_RHnD: Tensor, feed: Feed, query: Query | None = None) -> KV:
        return KV(k_RHnD, v_RHnD)

    def commit(self, keep: int | Tensor) -> None:
        del keep

    def take(self, rows: Tensor) -> "NoCache":
        return self

    def nbytes(self) -> int:
        return 0


def no_cache(rows: int, capacity: int, look: int) -> NoCache:
    return NoCache()


def sampled(walk: Walk, recipe: Recipe, pictures: int, draws: Draws = KeyedDraws()) -> Tensor:
    """Codes [B,L] of pictures with the seeds 0, 1, ..."""
    given = Given(label_B=torch.zeros(pictures).long())
    *_, done = run(walk, Job(given, torch.arange(pictures), recipe, draws, no_cache))
    assert isinstance(done, Done)
    return done.codes.data[0]


def follows(ids_BL: Tensor, law_N: Tensor, alpha: float) -> bool:
    """Pearson's chi-square over all pictures; those expected less than 5 times count as one."""
    number_B = (ids_BL * CODES ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    observed_N = torch.bincount(number_B, minlength=len(law_N)).double()
    expected_N = law_N * len(ids_BL)
    rare_N = expected_N < 5
    cells = [torch.cat([one[~rare_N], one[rare_N].sum()[None]]) for one in (observed_N, expected_N)]
    if cells[1][-1] < 5:
        assert rare_N.sum() == 0 or cells[0][-1] < 50
        cells = [cell[:-1] for cell in cells]
    return bool(pearson(*cells) > alpha)


def pearson(observed_N: Tensor, expected_N: Tensor) -> float:
    """The p-value."""
    statistic = float(((observed_N - expected_N).square() / expected_N).sum())
    return float(stats.chi2.sf(statistic, len(expected_N) - 1))
