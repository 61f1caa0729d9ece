"""Relaxed acceptance walks a tree as the official code walks its paths: token by token, equal drafts once.

The reference is written path by path for one picture: which paths begin with what was accepted, which ids
their next drafts have, each of them tested once. V codes, m nodes of a tree.
"""

import pytest
import torch
from torch import Tensor

from genstudio.samplers.draws import Use
from genstudio.samplers.recorded import Queue, RecordedDraws
from genstudio.samplers.speculate.proposal import Proposal, Standing
from genstudio.samplers.speculate.relaxed import Relaxation, Relaxed
from genstudio.samplers.speculate.tree import StaticTree, retrieve

CODES = 7
PATHS = [[0], [1], [2], [0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1], [2, 0, 0]]
TREE = StaticTree.from_paths(PATHS)
RETRIEVED = retrieve(TREE.parents)


def by_paths(
    ids_m: list[int], p_mV: Tensor, uniforms: list[float], relaxation: Relaxation
) -> tuple[list[int], Tensor, int]:
    """Accepted ids behind the root, what is left of the law behind them, uniforms used."""
    paths, accepted, used = RETRIEVED.tolist(), [ids_m[0]], 0

    def spelt(path: list[int], length: int) -> list[int]:
        return [ids_m[node] if node >= 0 else -1 for node in path[:length]]

    for depth in range(1, len(paths[0]) + 1):
        alive = [path for path in paths if spelt(path, depth) == accepted]
        rest_V, tested = p_mV[alive[0][depth - 1]].clone(), set()
        for path in alive:
            node = path[depth] if depth < len(path) else -1
            if node < 0 or ids_m[node] in tested:
                continue
            x = ids_m[node]
            tested.add(x)
            mass, count = relaxation.mass(rest_V[None], torch.tensor([0]), torch.tensor([x]))
            used += 1
            if uniforms[used - 1] <= float(mass):
                accepted.append(x)
                break
            rest_V[x] = 0
            if int(count):
                rest_V[relaxation.nearest_VK[x, : relaxation.k + 1].long()] = 0
            rest_V = rest_V / rest_V.sum() if rest_V.sum() > 0 else torch.full_like(rest_V, 1 / CODES)
        else:
            break
    return accepted[1:], rest_V, used


@pytest.mark.parametrize("few", [3, CODES])
def test_a_tree_is_walked_as_its_paths(few: int) -> None:
    """100 random trees; with 3 ids many drafts are equal, siblings and cousins alike."""
    generator = torch.Generator().manual_seed(few)
    tree = TREE.drafts("cpu")._replace(fan=len(PATHS))
    order_VV = torch.rand(CODES, CODES, generator=generator).fill_diagonal_(2).argsort(-1)
    relaxation = Relaxation(order_VV[:, :-1].int(), 2, 0.25)
    lengths = []
    for _ in range(100):
        ids_m = torch.randint(few, (len(TREE.parents),), generator=generator)
        p_VV = torch.randn(CODES, CODES, generator=generator).softmax(-1)
        p_mV = p_VV[ids_m] if few < CODES else torch.randn(len(ids_m), CODES, generator=generator).softmax(-1)
        uniform_n = torch.rand(60, generator=generator)
        queue = Queue(uniform_n, hold=True)
        draws = RecordedDraws({Use.ACCEPT: queue, Use.RESIDUAL: Queue(torch.rand(1))})
        standing = Standing(*(torch.ones(1).long() for _ in range(3)))
        judge = Relaxed(relaxation, "official")
        verdict = judge.judge(p_mV[None], Proposal(ids_m[None], tree), draws, standing)
        accepted, rest_V, used = by_paths(ids_m.tolist(), p_mV, uniform_n.tolist(), relaxation)
        made = verdict.emitted(ids_m[None])[0, : len(accepted)].tolist()
        assert (made, int(verdict.accepted_R), queue.read_so_far) == (accepted, len(accepted), used)
        torch.testing.assert_close(verdict.law_RV[0], rest_V, atol=1e-6, rtol=0)
        lengths.append(len(accepted))
    assert set(lengths) == {0, 1, 2, 3}
