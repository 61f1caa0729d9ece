"""NAR: all neighbours of what is there at once, near to far, in pictures (arXiv 2503.10696).

LlamaGen's blocks with a head for each axis: the first predicts the code to the right, the second, a block
deeper, the code below. A code with several neighbours before it takes the mean of their logits. Codes are fed
in the order of generation, while positions are those of the grid, so that no mask is ever dense.
Differs from the official code: keys and values are appended in the order in which codes are fed, to a cache
that is passed in; a head runs for the codes that it predicts alone; nothing is dropped here.
Shapes: R rows, n fed slots, m codes that are predicted, T condition slots, L codes of a picture in raster
order, S = T + L slots, A axes, P pairs of a head, C width, V codes.
"""

import torch
from torch import Tensor, nn

from genstudio.cache.protocol import Cache
from genstudio.configs.nar import NARConfig
from genstudio.generators import llamagen
from genstudio.generators.base import Generator
from genstudio.nn.blocks import LlamaBlock
from genstudio.nn.linear import Linear
from genstudio.nn.norms import RMSNorm
from genstudio.nn.rope import Rope, axial_angles, raster
from genstudio.samplers.orders import NeighbourOrder
from genstudio.samplers.values import Cond, Feed, Given


class NAR(Generator):
    """The network: condition once, then embed, forward and logits for each unit.

    Tables of its order: `at_S` are the slots in the order in which they are fed, the last code's behind them;
    `slot_AL` are the neighbours that predict each cell (`NeighbourOrder.neighbours`).
    """

    config: NARConfig
    at_S: Tensor
    slot_AL: Tensor

    def __init__(self, config: NARConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        angles_LP = axial_angles(raster(*config.grid), config.head_dim, config.rope_base)
        self.cond_embed = llamagen.cond_embed(config)
        self.code_embed = nn.Embedding(config.vocab, width)
        self.rope = Rope(angles_LP, zeros=config.condition_slots)
        self.blocks = nn.ModuleList(
            LlamaBlock(width, config.heads, config.hidden, config.norm_eps) for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(RMSNorm(width, config.norm_eps) for _ in config.exits)
        self.heads = nn.ModuleList(Linear(width, config.vocab, bias=False) for _ in config.exits)
        self.register_buffer("at_S", self.order.at(), persistent=False)
        self.register_buffer("slot_AL", self.order.neighbours(), persistent=False)

    @property
    def order(self) -> NeighbourOrder:
        """One unit per anti-diagonal."""
        return NeighbourOrder(self.config.condition_slots, self.config.grid)

    def condition(self, given: Given, null: bool) -> Cond:
        """Slots of labels [B], or of features [B,T,E] and which are open; `null` appends the null rows."""
        return self.cond_embed(given, null)

    def embed(self, ids_Rn: Tensor) -> Tensor:
        """Codes to the width of the transformer."""
        return self.code_embed(ids_Rn)

    def forward(self, x_RnC: Tensor, feed: Feed, cond: Cond, cache: Cache | None = None) -> Tensor:
        """Hidden states [R,n,A,C] below the heads, before their norms."""
        del cond
        turns_RnP = self.rope(feed.at_Rn)
        exits: list[Tensor] = []
        for layer, block in enumerate(self.blocks):
            x_RnC = block(x_RnC, turns_RnP, feed, cache, layer)
            if layer + 1 in self.config.exits:
                exits.append(x_RnC)
        return torch.stack(exits, dim=2)

    def logits(self, h_RnAC: Tensor, slot_Am: Tensor, cond: Cond) -> Tensor:
        """float32 logits [R,m,V]: the mean over the neighbours of a code, which `slot_Am` finds among the n
        states (-1 for none), of what the head of their axis says."""
        del cond
        there_Am = slot_Am >= 0
        weight_Am1 = (there_Am / there_Am.sum(0))[..., None]
        logits_RmV = torch.zeros((), device=h_RnAC.device)
        for axis, (norm, head) in enumerate(zip(self.norms, self.heads, strict=True)):
            seen_RmC = h_RnAC[:, slot_Am[axis].clamp(min=0), axis]
            logits_RmV = torch.addcmul(logits_RmV, head(norm(seen_RmC)).float(), weight_Am1[axis])
        return logits_RmV


def teacher_forced(network: NAR, ids_BL: Tensor, given: Given) -> Tensor:
    """Logits [B,L,V] of all codes in one pass, in raster order."""
    cond = network.condition(given, null=False)
    return network.logits(hidden_states(network, ids_BL, cond), network.slot_AL, cond)


def hidden_states(network: NAR, ids_BL: Tensor, cond: Cond) -> Tensor:
    """Hidden states [B,S-1,A,C] of one pass over the condition and all codes but the last, as fed."""
    order, at_n = network.order, network.at_S[:-1]
    cell_n = at_n[order.condition :] - order.condition
    x_BnC = torch.cat([cond.start_RTD, network.embed(ids_BL[:, cell_n])], dim=1)
    return network.forward(x_BnC, Feed(at_n[None], order.mask(), cond.open_through(order.slots)), cond)


def initialise(network: NAR, generator: torch.Generator) -> None:
    """The official initial values: LlamaGen's, but of the heads the first alone is 0."""
    llamagen.initialise(network, generator)
    nn.init.zeros_(network.heads[0].get_parameter("weight"))
