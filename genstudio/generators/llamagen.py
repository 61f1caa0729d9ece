"""LlamaGen: next-token prediction in raster order, for a class or a caption (arXiv 2406.06525).

A plain Llama decoder over the codes of a VQ tokenizer. Rotary positions are rows and columns of the grid; the
condition in front of it has rotations of zero, so that its queries and keys are zero vectors, as released.
Differs from the official code: keys and values live in a cache that is passed in, nothing is dropped here.
Shapes: R rows, n fed slots, T condition slots, L codes of a picture, S = T + L - 1, C width, V codes.
"""

import torch
from torch import Tensor, nn

from genstudio.cache.protocol import Cache
from genstudio.configs.llamagen import LlamaConfig, LlamaGenConfig
from genstudio.generators.base import Generator
from genstudio.nn.blocks import LlamaBlock
from genstudio.nn.conditions import CaptionSlots, LabelSlot
from genstudio.nn.linear import Linear
from genstudio.nn.norms import RMSNorm
from genstudio.nn.rope import Rope, axial_angles, raster
from genstudio.samplers.orders import RasterOrder
from genstudio.samplers.values import ALL, Cond, Feed, Given

STD = 0.02


class LlamaGen(Generator):
    """The network: condition once, then embed, forward and logits for each code."""

    config: LlamaGenConfig

    def __init__(self, config: LlamaGenConfig) -> None:
        super().__init__()
        self.config = config
        width, cells_L2 = config.width, raster(config.side, config.side)
        self.cond_embed = cond_embed(config)
        self.code_embed = nn.Embedding(config.vocab, width)
        angles_LP = axial_angles(cells_L2, config.head_dim, config.rope_base)
        self.rope = Rope(angles_LP, zeros=config.condition_slots)
        self.blocks = nn.ModuleList(
            LlamaBlock(width, config.heads, config.hidden, config.norm_eps) for _ in range(config.depth)
        )
        self.norm = RMSNorm(width, config.norm_eps)
        self.head = Linear(width, config.vocab, bias=False)

    @property
    def order(self) -> RasterOrder:
        """One unit per code."""
        return RasterOrder(self.config.condition_slots, self.config.codes)

    def condition(self, given: Given, null: bool) -> Cond:
        """Slots of labels [B], or of features [B,T,E] and which are open; `null` appends the null rows."""
        return self.cond_embed(given, null)

    def embed(self, ids_Rn: Tensor) -> Tensor:
        """Codes to the width of the transformer."""
        return self.code_embed(ids_Rn)

    def forward(
        self, x_RnC: Tensor, feed: Feed, cond: Cond, cache: Cache | None = None, span: slice = ALL
    ) -> Tensor:
        """Hidden states of the blocks in `span`, before the last norm."""
        del cond
        turns_RnP = self.rope(feed.at_Rn)
        for layer in range(self.config.depth)[span]:
            x_RnC = self.blocks[layer](x_RnC, turns_RnP, feed, cache, layer)
        return x_RnC

    def logits(self, h_RnC: Tensor, cond: Cond) -> Tensor:
        """float32 logits [R,n,V]."""
        del cond
        return self.head(self.norm(h_RnC)).float()


def cond_embed(config: LlamaConfig) -> LabelSlot | CaptionSlots:
    """What makes slots of the condition that a config names."""
    if config.caption is not None:
        return CaptionSlots(config.caption, config.width)
    return LabelSlot(config.classes, config.width)


def teacher_forced(network: LlamaGen, ids_BL: Tensor, given: Given) -> Tensor:
    """Logits [B,L,V] of all codes in one pass."""
    cond = network.condition(given, null=False)
    h_BSC = hidden_states(network, ids_BL, cond)
    return network.logits(h_BSC[:, network.config.condition_slots - 1 :], cond)


def hidden_states(network: LlamaGen, ids_BL: Tensor, cond: Cond) -> Tensor:
    """Hidden states [B,T+L-1,C] of one pass over the condition and all codes but the last."""
    x_BSC = torch.cat([cond.start_RTD, network.embed(ids_BL[:, :-1])], dim=1)
    at_1S = torch.arange(x_BSC.shape[1], device=x_BSC.device)[None]
    return network.forward(x_BSC, Feed(at_1S, network.order.mask(), cond.open_through(x_BSC.shape[1])), cond)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """The official initial values, from one seeded generator: normal with std 0.02; the head 0, so that a
    fresh network finds all codes alike; norms 1; null features normal / sqrt(their width)."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name == "head.weight":
                value.zero_()
            elif "norm" in name:
                value.fill_(1)
            elif name.endswith("null_TE"):
                nn.init.normal_(value, std=value.shape[1] ** -0.5, generator=generator)
            else:
                nn.init.normal_(value, std=STD, generator=generator)
