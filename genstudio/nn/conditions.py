"""Conditions that stand in front of the codes as slots of their own: a label, or the features of a caption.

Both give a `Cond` with the null rows behind, once per picture (LlamaGen, NAR, D-AR).
Shapes: B pictures, R rows (B, or 2B = [given | null]), T condition slots, E width of features, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.configs.llamagen import Caption
from genstudio.nn.linear import Linear
from genstudio.samplers.values import Cond, Given


class LabelSlot(nn.Module):
    """One slot: the row of a label. The row behind the last class stands for no class."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes + 1, width)

    def forward(self, given: Given, null: bool) -> Cond:
        """Rows of the labels [B]; `null` appends the null rows. Raises ValueError without labels."""
        if given.label_B is None:
            raise ValueError("This network is conditioned on labels; none were given.")
        label_R = given.label_B
        if null:
            label_R = torch.cat([label_R, torch.full_like(label_R, self.table.num_embeddings - 1)])
        return Cond(self.table(label_R)[:, None])


class CaptionSlots(nn.Module):
    """A fixed number of slots: text features, padding on the left, through two layers with a tanh GELU.

    The null rows are features of their own, saved with the weights; they take the padding of their prompt. A
    negative prompt stands in their place with its own padding (ours; the official code has none).
    """

    null_TE: Tensor

    def __init__(self, caption: Caption, width: int) -> None:
        super().__init__()
        self.fc1 = Linear(caption.width, width, bias=False)
        self.fc2 = Linear(width, width, bias=False)
        self.register_buffer("null_TE", torch.empty(caption.slots, caption.width))

    def forward(self, given: Given, null: bool) -> Cond:
        """Rows of features [B,T,E] padded on either side, and which are open; `null` appends the null rows.

        Raises ValueError without features, and for another number of slots or another width.
        """
        if given.text is None or given.open_BT is None:
            raise ValueError("This network is conditioned on text; no features were given.")
        features_RTE, open_RT = self._moved(given.text, given.open_BT)
        if null:
            null_BTE, null_BT = self.null_TE.expand_as(features_RTE), open_RT
            if given.negative is not None and given.negative_BT is not None:
                null_BTE, null_BT = self._moved(given.negative, given.negative_BT)
            features_RTE, open_RT = torch.cat([features_RTE, null_BTE]), torch.cat([open_RT, null_BT])
        start_RTC = self.fc2(F.gelu(self.fc1(features_RTE), approximate="tanh"))
        return Cond(start_RTC, open_RT=open_RT)

    def _moved(self, features_BTE: Tensor, open_BT: Tensor) -> tuple[Tensor, Tensor]:
        if features_BTE.shape[1:] != self.null_TE.shape:
            raise ValueError(f"Features are {list(features_BTE.shape[1:])}, not {list(self.null_TE.shape)}.")
        return left_padded(features_BTE.to(self.fc1.weight.dtype), open_BT)


def left_padded(features_BTE: Tensor, open_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Padding first, as zeros, then the open rows in their order; and the mask (bool) that says so."""
    open_BT = open_BT.bool()
    order_BT = open_BT.long().argsort(dim=1, stable=True)
    moved_BTE = features_BTE.gather(1, order_BT[..., None].expand_as(features_BTE))
    moved_BT = open_BT.gather(1, order_BT)
    return moved_BTE * moved_BT[..., None], moved_BT
