"""Held queues on LANTERN's tree verification (fixture lantern-accept): outcomes decide what is consumed.

At every node the uniforms of all children are looked at, then those of the tested ones are spent. The rules
are LANTERN's (arXiv 2410.03355) and LANTERN++'s (arXiv 2502.06352), written for one picture and for reading.
V categories; a draft is named by its path from the root, (0, 1) being the second child of the first.
"""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.samplers.draws import At, Use
from genstudio.samplers.filters import apply
from genstudio.samplers.recipe import Temperature, TopK, TopP
from genstudio.samplers.recorded import Queue, RecordedDraws
from tests.support import parity_folder

Path = tuple[int, ...]
HERE = At(torch.tensor([0]), torch.tensor([[0]]))


def law(logits_V: Tensor) -> Tensor:
    """Probabilities after the fixture's filters: top-p before top-k, unlike LlamaGen."""
    return apply((Temperature(0.8), TopP(0.95), TopK(25)), logits_V).softmax(-1)


class Relaxation(NamedTuple):
    """How much of its neighbours' mass an id may borrow: at most delta, or (delta - 1) times its own."""

    nearest_VV: Tensor
    lantern: bool
    k: int
    delta: float

    def borrow(self, p_V: Tensor, x: int) -> tuple[float, list[int]]:
        """The borrowed mass, and the ids that fall with x: k + 1 of them, whatever delta allowed."""
        bound = self.delta if self.delta <= 1 else (self.delta - 1) * float(p_V[x])
        mass = p_V[self.nearest_VV[x, : self.k]].cumsum(0)
        allowed = int((mass <= bound).sum()) if self.lantern else 0
        if not allowed:
            return 0.0, []
        return float(mass[allowed - 1]), self.nearest_VV[x, : self.k + 1].tolist()


@dataclass
class Tree:
    """Ids and target logits of every node. `drafted` and `draft_law` (the ids drawn below a node without
    replacement, and the law they came from) are given where drafts are random; else their q is 1."""

    token: dict[Path, int]
    logits: dict[Path, Tensor]
    drafted: dict[Path, list[int]] = field(default_factory=dict)
    draft_law: dict[Path, Tensor] = field(default_factory=dict)

    def children(self, path: Path) -> list[Path]:
        return sorted(child for child in self.token if child and child[:-1] == path)

    def q_row(self, child: Path) -> Tensor:
        """The law of one draft: earlier siblings removed, renormalised."""
        q_V = self.draft_law[child[:-1]].clone()
        q_V[self.drafted[child[:-1]][: child[-1]]] = 0
        return q_V / q_V.sum()

    def q(self, child: Path) -> float:
        return float(self.q_row(child)[self.token[child]]) if self.draft_law else 1.0

    def residual(self, child: Path, p_V: Tensor, fallen: list[int]) -> Tensor:
        """What is left of p once a child is refused; nothing left means every id alike."""
        if self.draft_law:
            q_V = self.q_row(child)
            q_V[fallen] = 0
            rest_V = (p_V - q_V).clamp(min=0)
        else:
            rest_V = p_V.clone()
            rest_V[[self.token[child], *fallen]] = 0
        return rest_V / rest_V.sum() if rest_V.sum() > 0 else torch.full_like(p_V, 1 / len(p_V))


def verify(tree: Tree, relaxation: Relaxation, draws: RecordedDraws) -> tuple[Path, Tensor]:
    """The accepted path and the law of the token behind it."""
    path: Path = ()
    p_V = law(tree.logits[path])
    while children := tree.children(path):
        uniforms = draws.uniform(Use.ACCEPT, HERE, (len(children),))[0].tolist()
        for child, uniform in zip(children, uniforms, strict=True):
            draws.spend(Use.ACCEPT, 1)
            if (q := tree.q(child)) <= 0:
                continue
            x = tree.token[child]
            mass, fallen = relaxation.borrow(p_V, x)
            if uniform <= (float(p_V[x]) + mass) / q:
                path, p_V = child, law(tree.logits[child])
                break
            p_V = tree.residual(child, p_V, fallen)
        else:
            return path, p_V
    return path, p_V


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    return load_file(parity_folder("lantern-accept") / "io.safetensors")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    meta = json.loads((parity_folder("lantern-accept") / "meta.json").read_text())
    config: dict[str, Any] = meta["config"]
    return config


def certain_tree(io: dict[str, Tensor], config: dict[str, Any], case: int) -> Tree:
    """LANTERN's: drafts are the drafter's best ids."""
    nodes = [
        (),
        *sorted((tuple(path) for path in config["tree_choices"]), key=lambda path: (len(path), path)),
    ]
    tokens = io["tree_tokens"][case].tolist()
    return Tree(dict(zip(nodes, tokens, strict=True)), dict(zip(nodes, io["tree_logits"][case], strict=True)))


def random_tree(io: dict[str, Tensor], config: dict[str, Any], case: int) -> Tree:
    """LANTERN++'s: drafts are drawn without replacement."""
    tree = certain_tree(io, config, case)
    parents = [tuple(path) for path in config["drafter_rows"]]
    tree.drafted = dict(zip(parents, io["draft_tokens_static"][case].tolist(), strict=True))
    tree.draft_law = dict(zip(parents, law(io["draft_logits"][case]), strict=True))
    tree.token = {path: tree.drafted[path[:-1]][path[-1]] if path else tree.token[()] for path in tree.token}
    return tree


def neighbours(codebook_VD: Tensor) -> Tensor:
    """Every id's others, nearest first."""
    distance_VV = torch.cdist(codebook_VD.double(), codebook_VD.double()).fill_diagonal_(-1)
    return distance_VV.argsort(-1)[:, 1:]


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("setting", range(3))
def test_tree_verification(io: dict[str, Tensor], config: dict, kind: str, case: int, setting: int) -> None:
    tree = (certain_tree if kind == "dynamic" else random_tree)(io, config, case)
    queue = Queue(io["uniforms"][case, setting], hold=True)
    relaxation = Relaxation(neighbours(io["codebook"]), **config["settings"][setting])
    path, p_V = verify(tree, relaxation, RecordedDraws({Use.ACCEPT: queue}))

    leaves = [node for node in sorted(tree.token) if node and not tree.children(node)]
    best = next(i for i, leaf in enumerate(leaves) if leaf[: len(path)] == path)
    expected = io[f"{kind}_result"][case, setting].tolist()
    assert [best, len(path), queue.read_so_far] == expected
    torch.testing.assert_close(p_V, io[f"{kind}_sample_p"][case, setting], atol=1e-5, rtol=0)
