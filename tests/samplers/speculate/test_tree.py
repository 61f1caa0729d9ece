"""Trees of drafts: who sees whom, who competes for a place, EAGLE-2's choice, the published static trees."""

import pytest
import torch

from genstudio.samplers.speculate.tree import (
    MC_SIM_7B_63,
    NAIVE_EXTEND_57,
    DraftTree,
    StaticTree,
    best_nodes,
    chains,
    retrieve,
)
from genstudio.samplers.values import Causal, Dense

PATHS = [[0], [1], [2], [0, 0], [0, 1], [1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
ABOVE = [set(), {0}, {0}, {0}, {0, 1}, {0, 1}, {0, 2}, {0, 1, 4}, {0, 1, 4}, {0, 2, 6}]


def test_a_node_sees_itself_and_the_nodes_above_it() -> None:
    tree = StaticTree.from_paths(reversed(PATHS)).drafts("cpu")
    seen = [set(row.nonzero()[:, 0].tolist()) for row in tree.ancestors()[0]]
    assert seen == [above | {node} for node, above in enumerate(ABOVE)]
    assert tree.level_Rm.tolist() == [[0, 1, 1, 1, 2, 2, 2, 3, 3, 3]]
    assert (tree.depth, tree.fan) == (3, 3)
    assert isinstance(mask := tree.mask(), Dense) and mask.allow.equal(tree.ancestors())


def test_paths_to_leaves_stand_in_the_order_of_their_nodes() -> None:
    tree = StaticTree.from_paths(PATHS)
    assert retrieve(tree.parents).tolist() == [
        [0, 1, 4, 7],
        [0, 1, 4, 8],
        [0, 1, 5, -1],
        [0, 2, 6, 9],
        [0, 3, -1, -1],
    ]


def test_a_window_is_a_tree_without_branches() -> None:
    tree = chains(1, 4, "cpu")
    assert tree.parent_Rm.tolist() == [[-1, 0, 1, 2, 3]]
    assert tree.mask() == Causal()
    assert tree.level_Rm.tolist() == [[0, 1, 2, 3, 4]]
    assert chains(1, 0, "cpu").level_Rm.tolist() == [[0]]


def test_chains_stand_side_by_side() -> None:
    tree = chains(3, 2, "cpu")
    assert tree.parent_Rm.tolist() == [[-1, 0, 0, 0, 1, 2, 3]]
    assert (tree.depth, tree.fan) == (2, 3)


def test_published_trees_have_their_published_size() -> None:
    assert len(NAIVE_EXTEND_57.parents) - 1 == 57 and max(NAIVE_EXTEND_57.levels) == 5
    assert len(MC_SIM_7B_63.parents) - 1 == 25 and max(MC_SIM_7B_63.levels) == 5
    assert MC_SIM_7B_63.path(25) == (0, 0, 0, 0, 1)
    assert NAIVE_EXTEND_57.path(57) == (0, 0, 2, 0, 0)


def test_a_path_without_its_beginning_is_no_tree() -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\) without \(0,\)"):
        StaticTree.from_paths([[1], [0, 1]])


def test_ranks_are_the_draws_of_a_parent_though_some_are_left_out() -> None:
    tree = StaticTree.from_paths([[0], [3], [3, 2]])
    assert tree.ranks == (0, 0, 3, 2) and tree.parents == (-1, 0, 0, 2)
    assert tree.inner == (0, 2)


def test_children_stand_in_the_order_of_nodes_and_absent_ones_are_left_out() -> None:
    tree = StaticTree.from_paths(PATHS).drafts("cpu")
    ids_Rm = torch.tensor([[9, 1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 1, -1, 3, 4, 5, -1, 7, 8, -1]])
    children_Rmf = tree.children(ids_Rm)
    assert children_Rmf[0, 0].tolist() == [1, 2, 3]
    assert children_Rmf[1, 0].tolist() == [1, 3, -1]
    assert children_Rmf[0, 1].tolist() == [4, 5, -1]
    assert children_Rmf[0, 7].tolist() == [-1, -1, -1]


def test_of_equal_drafts_the_first_is_tested_and_gets_the_children_of_all() -> None:
    """Nodes 1 and 3 say 5 behind the root; 4 and 5 stand below 1, a new node below 3."""
    tree = StaticTree.from_paths([*PATHS, [2, 0]]).drafts("cpu")
    #                       root 0  1  2  00 01 10 20 000 001 100
    ids_1m = torch.tensor([[9, 5, 6, 5, 7, 8, 7, 8, 1, 2, 1]])
    children_mf = tree.children(ids_1m)[0]
    assert children_mf[0].tolist() == [1, 2, -1]
    assert children_mf[1].tolist() == [4, 5, -1]
    assert children_mf[3].tolist() == [-1, -1, -1]
    ids_1m[0, 7] = 4
    assert tree.children(ids_1m)[0, 1].tolist() == [4, 5, 7]


def test_equal_ids_on_different_levels_are_different_drafts() -> None:
    tree = chains(1, 2, "cpu")._replace(fan=2)
    assert tree.children(torch.tensor([[5, 5, 5]]))[0, :, 0].tolist() == [1, 2, -1]


def reference_best(score: list[float], above: list[int], count: int) -> tuple[list[int], list[int]]:
    chosen = sorted(sorted(range(len(score)), key=lambda i: (-score[i], i))[:count])
    place = {candidate: node for node, candidate in enumerate(chosen, 1)}
    return chosen, [-1, *(0 if above[i] < 0 else place[above[i]] for i in chosen)]


def test_eagle_2_keeps_the_best_candidates_and_all_above_them() -> None:
    """Scores are sums of log-probabilities, 0 among them: a child may score as much as its parent."""
    generator = torch.Generator().manual_seed(0)
    above = [-1] * 4 + [i // 4 for i in range(16)] + [4 + i // 4 for i in range(64)]
    rows = []
    for _ in range(5):
        steps = torch.randint(-3, 1, (84,), generator=generator).tolist()
        score: list[float] = []
        for step, parent in zip(steps, above, strict=True):
            score.append(step + (score[parent] if parent >= 0 else 0.0))
        rows.append(score)
    above_RN = torch.tensor([above] * 5)
    chosen_Rn, tree = best_nodes(torch.tensor(rows), above_RN, 13, 3, 4)
    for score, chosen, parents in zip(rows, chosen_Rn.tolist(), tree.parent_Rm.tolist(), strict=True):
        assert (chosen, parents) == reference_best(score, above, 13)
    assert isinstance(tree, DraftTree) and tree.ancestors().shape == (5, 14, 14)
