"""What drafting and judging hand to each other: drafts, where the pictures stand, what the target accepted.

Everywhere p is the law of the target and q the law that a draft was drawn from, both after guidance and
filters; p behind a node is the law of the code that follows it.
Shapes: R rows (pictures), m nodes of a tree (node 0 is the last known code), V codes, d nodes of a path,
K place numbers, n places or drafts, i nodes that have children, t ids drawn below one of them.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.samplers.draws import At, Draws
from genstudio.samplers.exactness import Exactness
from genstudio.samplers.speculate.laws import behind
from genstudio.samplers.speculate.tree import DraftTree, StaticTree, chains


class Proposal(NamedTuple):
    """Drafts of one round. `ids_Rm` begins with the last known code; -1 is a draft that is absent, as are all
    behind it. `q_RmV` holds for every node the law that its id was drawn from, given the drafts before it
    and, where siblings are drawn without replacement, the siblings before it; row 0 is not read. None: drafts
    were chosen, not drawn, and their law is one-hot."""

    ids_Rm: Tensor
    tree: DraftTree
    q_RmV: Tensor | None = None

    @staticmethod
    def window(ids_Rm: Tensor, q_RmV: Tensor | None = None) -> "Proposal":
        """One draft after the other, without branches."""
        return Proposal(ids_Rm, chains(1, ids_Rm.shape[1] - 1, ids_Rm.device), q_RmV)

    def law(self, node_R: Tensor, like_RV: Tensor) -> Tensor:
        """q of one draft per row, [R, V]."""
        if self.q_RmV is not None:
            return behind(self.q_RmV, node_R)
        id_R = self.ids_Rm.gather(1, node_R[:, None])[:, 0].clamp(min=0)
        return F.one_hot(id_R, like_RV.shape[-1]).to(like_RV.dtype)


class Standing(NamedTuple):
    """Where every row stands: its picture's seed, how many codes it knows, how many rounds it has had."""

    seed_R: Tensor
    made_R: Tensor
    round_R: Tensor

    def places(self, ahead_Rn: Tensor, *more: Tensor | int) -> At:
        """Addresses of codes that lie `ahead` of the next one ([n] or [R, n]; negative: known already), with
        further place numbers ([R, n] or one for all): R * n rows, sample-major."""
        code_Rn = self.made_R[:, None] + ahead_Rn
        numbers = [torch.as_tensor(one, device=code_Rn.device).expand_as(code_Rn) for one in more]
        index_RnK = torch.stack([code_Rn, *numbers], dim=-1)
        return At(self.seed_R.repeat_interleave(code_Rn.shape[1]), index_RnK.flatten(0, 1))


class Verdict(NamedTuple):
    """What the target said. `path_Rd` are the accepted nodes from the root on, -1 behind the last: what a
    cache commits. `next_R` is the code behind them, drawn from `law_RV`. `fresh_Rm` are codes drawn behind
    every node, where the judge draws them: drafts for the next window."""

    path_Rd: Tensor
    next_R: Tensor
    law_RV: Tensor
    fresh_Rm: Tensor | None = None

    @property
    def accepted_R(self) -> Tensor:
        """How many drafts were accepted; one code more is emitted."""
        return (self.path_Rd >= 0).sum(1) - 1

    def emitted(self, ids_Rm: Tensor) -> Tensor:
        """The new codes in order, [R, d], -1 behind the last."""
        draft_Rd = torch.where(self.path_Rd < 0, -1, ids_Rm.gather(1, self.path_Rd.clamp(min=0)))
        codes_Rd = torch.cat([draft_Rd[:, 1:], torch.full_like(draft_Rd[:, :1], -1)], dim=1)
        return codes_Rd.scatter(1, self.accepted_R[:, None], self.next_R[:, None])


class Judge(Protocol):
    """Decides which drafts stand, so that what is emitted follows the law that its label promises."""

    @property
    def exactness(self) -> Exactness: ...
    def judge(self, p_RmV: Tensor, proposal: Proposal, draws: Draws, standing: Standing) -> Verdict:
        """`p_RmV` is the target's law behind every node."""
        ...


def drawn(tree: StaticTree, root_R: Tensor, drawn_Rit: Tensor, law_RiV: Tensor) -> Proposal:
    """Drafts below the nodes that have children, drawn without replacement (LANTERN++'s static trees).

    `law_RiV` is the draft's law behind each of those nodes, `drawn_Rit` what was drawn from it, in order. The
    law of one draft is that without the ids drawn before it, divided by 1 - their mass.
    """
    row = {node: i for i, node in enumerate(tree.inner)}
    row_n = torch.tensor([row[parent] for parent in tree.parents[1:]], device=root_R.device)
    rank_n = torch.tensor(tree.ranks[1:], device=root_R.device)
    law_RnV, drawn_Rnt = law_RiV[:, row_n], drawn_Rit[:, row_n]
    earlier_nt = torch.arange(drawn_Rnt.shape[2], device=rank_n.device) < rank_n[:, None]
    gone_RnV = torch.zeros_like(law_RnV).scatter_add_(
        2, drawn_Rnt, earlier_nt.to(law_RnV).expand_as(drawn_Rnt)
    )
    left_Rn1 = 1 - (law_RnV.gather(2, drawn_Rnt) * earlier_nt).sum(-1, keepdim=True)
    q_RnV = torch.where(left_Rn1 > 0, law_RnV / left_Rn1, 0).masked_fill(gone_RnV > 0, 0).clamp(max=1)
    ids_Rn = drawn_Rnt.gather(2, rank_n.expand(len(root_R), -1)[..., None])[..., 0]
    ids_Rm = torch.cat([root_R[:, None], ids_Rn], dim=1)
    return Proposal(ids_Rm, tree.drafts(root_R.device), F.pad(q_RnV, (0, 0, 1, 0)))
