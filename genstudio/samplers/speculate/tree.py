"""Trees of drafts: which draft follows which, whom it may see, which drafts compete for one place.

Node 0 is the root, the last known code; parents stand before their children. A window (SJD) and the chain of
a draft model are trees without branches. Two drafts with equal ids behind equal prefixes say the same: their
children compete as if they had one parent, and only the first of the two is tested.
Shapes: R rows (pictures), m nodes, f children of a node, N candidates for nodes, d nodes of a path.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.samplers.values import Causal, Dense, Mask

Path = tuple[int, ...]


class DraftTree(NamedTuple):
    """`parent_Rm` int64 [1 or R, m], -1 at the root. `depth` bounds the edges of a path and `fan` the
    children of a node: numbers known before the run, so that no loop waits for a device."""

    parent_Rm: Tensor
    depth: int
    fan: int

    @property
    def level_Rm(self) -> Tensor:
        """How many edges lead from the root to each node."""
        return self.ancestors().sum(-1) - 1

    def ancestors(self) -> Tensor:
        """bool [1 or R, m, m]: row i is True at i and at every node above it."""
        rows, nodes = self.parent_Rm.shape
        above_Rm = torch.arange(nodes, device=self.parent_Rm.device).expand(rows, -1)
        if self.fan == 1:
            return (above_Rm[0, :, None] >= above_Rm[0])[None]
        seen_Rmm = torch.eye(nodes, dtype=torch.bool, device=above_Rm.device).repeat(rows, 1, 1)
        for _ in range(self.depth):
            above_Rm = self.parent_Rm.gather(1, above_Rm).clamp(min=0)
            seen_Rmm.scatter_(2, above_Rm[..., None], True)
        return seen_Rmm

    def mask(self) -> Mask:
        """Who sees whom when all nodes are fed at once."""
        return Causal() if self.fan == 1 else Dense(self.ancestors())

    def children(self, ids_Rm: Tensor) -> Tensor:
        """The drafts that compete behind each node, in the order of nodes: [R, m, f], -1 behind the last.

        Absent drafts (id -1) are left out, of equal ones all but the first; a node that is itself left out
        hands its children to that first one. What is more than `fan` is dropped.
        """
        first_Rm = self._first_equal(ids_Rm)
        rows, nodes = ids_Rm.shape
        node_m = torch.arange(nodes, device=ids_Rm.device)
        tested_Rm = (first_Rm == node_m) & (ids_Rm >= 0) & (node_m > 0)
        above_Rm = first_Rm.gather(1, self._above(rows))
        rival_Rmm = (above_Rm[:, :, None] == above_Rm[:, None, :]) & tested_Rm[:, None, :]
        rank_Rm = (rival_Rmm & (node_m[:, None] > node_m)).sum(-1)
        rank_Rm = torch.where(tested_Rm, rank_Rm, self.fan).clamp(max=self.fan)
        table_RN = ids_Rm.new_full((rows, nodes * (self.fan + 1)), -1)
        table_RN.scatter_(1, above_Rm * (self.fan + 1) + rank_Rm, node_m.expand(rows, -1))
        return table_RN.view(rows, nodes, self.fan + 1)[..., : self.fan]

    def _first_equal(self, ids_Rm: Tensor) -> Tensor:
        """The first node with the same ids on its whole path, [R, m]."""
        above_Rm, level_Rm = self._above(len(ids_Rm)), self.level_Rm.expand_as(ids_Rm)
        alike_Rmm = (ids_Rm[:, :, None] == ids_Rm[:, None, :]) & (level_Rm[:, :, None] == level_Rm[:, None])
        equal_Rmm = torch.ones_like(alike_Rmm)  # a node equals itself throughout
        for _ in range(self.depth):
            pair_Rmm = equal_Rmm.gather(1, above_Rm[:, :, None].expand_as(equal_Rmm))
            equal_Rmm = alike_Rmm & pair_Rmm.gather(2, above_Rm[:, None, :].expand_as(equal_Rmm))
        return (
            (equal_Rmm | torch.eye(ids_Rm.shape[1], dtype=torch.bool, device=ids_Rm.device)).int().argmax(-1)
        )

    def _above(self, rows: int) -> Tensor:
        """Parents with the root as its own, for every row."""
        return self.parent_Rm.clamp(min=0).expand(rows, -1)


def chains(count: int, length: int, device: torch.device | str) -> DraftTree:
    """`count` drafts of `length` codes side by side: node 1 + d * count + k is place d of chain k."""
    node_m = torch.arange(1 + count * length, device=device)
    parent_m = torch.where(node_m > count, node_m - count, 0)
    parent_m[0] = -1
    return DraftTree(parent_m[None], length, count)


@dataclass(frozen=True, slots=True)
class StaticTree:
    """A tree that is the same in every round. `ranks[i]` says which of its parent's draws node i is; nodes
    stand level by level."""

    parents: tuple[int, ...]
    ranks: tuple[int, ...]

    @staticmethod
    def from_paths(paths: Iterable[Sequence[int]]) -> "StaticTree":
        """From EAGLE's lists of choices: (0, 2) is the third draw below the first draw of the root.

        Raises ValueError where a path has no parent in the list.
        """
        nodes: list[Path] = [(), *sorted({tuple(path) for path in paths}, key=lambda path: (len(path), path))]
        place = {path: i for i, path in enumerate(nodes)}
        if orphans := [path for path in nodes if path and path[:-1] not in place]:
            raise ValueError(f"A tree holds {orphans[0]} without {orphans[0][:-1]}.")
        parents = tuple(place[path[:-1]] if path else -1 for path in nodes)
        return StaticTree(parents, tuple(path[-1] if path else 0 for path in nodes))

    @staticmethod
    def from_counts(levels: Sequence[Sequence[int]]) -> "StaticTree":
        """From the numbers of children of the nodes of every level, left to right; zeros at the end of a
        level may be left out. Children take the first draws of their parent."""
        paths: list[Path] = [()]
        every: list[Path] = []
        for counts in levels:
            below = zip(paths, counts, strict=False)
            paths = [(*path, rank) for path, count in below for rank in range(count)]
            every += paths
        return StaticTree.from_paths(every)

    def path(self, node: int) -> Path:
        """The draws that lead to a node."""
        return (*self.path(self.parents[node]), self.ranks[node]) if node else ()

    @property
    def levels(self) -> tuple[int, ...]:
        """How many edges lead from the root to each node."""
        found: list[int] = []
        for parent in self.parents:
            found.append(0 if parent < 0 else found[parent] + 1)
        return tuple(found)

    @property
    def inner(self) -> tuple[int, ...]:
        """The nodes that have children, in order."""
        return tuple(sorted({parent for parent in self.parents if parent >= 0}))

    def drafts(self, device: torch.device | str) -> DraftTree:
        """The same tree on a device."""
        fan = max(self.parents.count(node) for node in self.inner)
        return DraftTree(torch.tensor([self.parents], device=device), max(self.levels), fan)


# LANTERN's choices of --static_tree: 57 drafts, the default of LANTERN++; and 25 drafts, EAGLE's own.
NAIVE_EXTEND_57 = StaticTree.from_counts(
    ((5,), (4, 3, 3, 2, 1), (4, 3, 3, 2, 2, 1, 0, 1), (4, 3, 2, 1, 2, 1, 0, 1), (3, 2, 0, 0, 2, 1, 0, 1))
)
MC_SIM_7B_63 = StaticTree.from_counts(((4,), (3, 2, 2, 1), (3, 2, 2, 1), (3,), (2,)))


def best_nodes(
    score_RN: Tensor, above_RN: Tensor, count: int, depth: int, fan: int
) -> tuple[Tensor, DraftTree]:
    """EAGLE-2's choice: the `count` candidates with the best scores become the nodes of a tree.

    `above_RN` is the candidate that another one continues, -1 for the root; it stands before it and scores no
    less, so that it is chosen too (ties go to the earlier one). Returns the chosen candidates [R, count] in
    the order of their numbers, which are the nodes 1, 2, ..., and the tree.
    """
    best_RN = score_RN.sort(dim=1, descending=True, stable=True).indices
    chosen_Rn = best_RN[:, :count].sort(dim=1).values
    node_Rn = torch.arange(1, count + 1, device=score_RN.device).expand_as(chosen_Rn)
    node_RN = torch.zeros_like(above_RN).scatter_(1, chosen_Rn, node_Rn)
    above_Rn = above_RN.gather(1, chosen_Rn)
    parent_Rn = torch.where(above_Rn < 0, 0, node_RN.gather(1, above_Rn.clamp(min=0)))
    root_R1 = torch.full_like(parent_Rn[:, :1], -1)
    return chosen_Rn, DraftTree(torch.cat([root_R1, parent_Rn], dim=1), depth, fan)


def paths(parents: Sequence[int]) -> list[list[int]]:
    """Every path from the root to a leaf as nodes, in lexicographic order of their nodes."""
    way: list[list[int]] = []
    for node, parent in enumerate(parents):
        way.append([node] if parent < 0 else [*way[parent], node])
    leaves = set(range(len(parents))) - set(parents)
    return sorted(way[leaf] for leaf in leaves)


def retrieve(parents: Sequence[int]) -> Tensor:
    """The same as a table [path, depth + 1], -1 behind the last node."""
    found = paths(parents)
    longest = max(len(path) for path in found)
    return torch.tensor([path + [-1] * (longest - len(path)) for path in found])
