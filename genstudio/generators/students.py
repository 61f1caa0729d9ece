"""One-step students of VAR and LlamaGen (Distilled Decoding, arXiv 2412.17153).

A student reads a whole sequence at once, code vectors in front and noise behind, and says of every position
what becomes of it: the logits of its code, and the code vector itself. Each position speaks for itself, not
for the next one as in its teacher. `t_B` counts the units (scales, codes) that hold data in each row. Differs
from the official code in that hidden states come first, and each head runs only where it is asked.
Shapes: B pictures, L positions, S = 1 + L slots (first the class), n slots, C width, d code width, V codes.
"""

import torch
from torch import Tensor, nn

from genstudio.configs.students import LlamaGenStudentConfig, VARStudentConfig
from genstudio.generators import var
from genstudio.generators.base import Generator
from genstudio.nn.adaln import GATES_FIRST, ModulatedNorm, Modulation
from genstudio.nn.blocks import LlamaBlock
from genstudio.nn.conditions import LabelSlot
from genstudio.nn.linear import Linear
from genstudio.nn.norms import RMSNorm
from genstudio.nn.rope import Rope, axial_angles, raster
from genstudio.samplers.orders import RasterOrder
from genstudio.samplers.values import Cond, Dense, Feed, Given

NORM_EPS = 1e-6  # of the vector head, whatever the trunk has
KINDS = 2  # of positions: noise, data


class VectorHead(nn.Module):
    """Code vectors from hidden states, under two rows of the class: its own table of shift and scale plus the
    embedding of the class."""

    def __init__(self, width: int, code_width: int) -> None:
        super().__init__()
        self.shift_scale = nn.Parameter(torch.empty(KINDS, width))
        self.norm = ModulatedNorm(NORM_EPS)
        self.linear = Linear(width, code_width)

    def rows(self, class_BC: Tensor) -> Tensor:
        """Shift and scale of every picture, [B,2,C]."""
        return self.shift_scale + class_BC[:, None]

    def forward(self, h_BnC: Tensor, rows_B2C: Tensor) -> Tensor:
        """float32 [B,n,d]."""
        shift_BC, scale_BC = rows_B2C.unbind(1)
        return self.linear(self.norm(h_BnC, scale_BC, shift_BC)).float()


class VARStudent(var.NextScale):
    """VAR's trunk; a position sees earlier levels and itself, never its own level. The class is a level."""

    config: VARStudentConfig

    def __init__(self, config: VARStudentConfig) -> None:
        super().__init__(config, config.levels, StudentBlock)
        self.config = config
        width = config.width
        self.mark_embed = nn.Embedding(KINDS, width)
        self.marks = nn.ModuleList(Linear(width, width) for _ in range(config.depth + 1))
        self.vector_head = VectorHead(width, config.code_width)

    def condition(self, given: Given, null: bool) -> Cond:
        """As its teacher's, with the rows of the vector head behind those of the head."""
        cond = super().condition(given, null)
        return cond._replace(
            rows=(*cond.rows, self.vector_head.rows((cond.start_RTD - self.start_pos)[:, 0]))
        )

    def forward(self, x_BLd: Tensor, t_B: Tensor, cond: Cond) -> Tensor:
        """Hidden states [B,L,C] of all positions, for both heads."""
        x_BSC = torch.cat([cond.start_RTD, self.embed(x_BLd)], dim=1)
        at_1S = torch.arange(x_BSC.shape[1], device=x_BSC.device)[None]
        level_1S = self.level(at_1S)
        mark_BSC = self.mark_embed((level_1S <= t_B[:, None]).long())
        feed = Feed(at_1S, Dense(_earlier_or_itself(level_1S[0])))
        x_BSC = x_BSC + self.places(at_1S) + mark_BSC
        for layer, block in enumerate(self.blocks):
            x_BSC = block(x_BSC, cond.rows[layer], self.marks[layer](mark_BSC), feed)
        return (x_BSC + self.marks[-1](mark_BSC))[:, 1:]

    def vectors(self, h_BnC: Tensor, cond: Cond) -> Tensor:
        """Code vectors [B,n,d]."""
        return self.vector_head(h_BnC, cond.rows[-1])


class StudentBlock(var.Block):
    """VAR's block, told between its halves which positions hold data."""

    def forward(  # type: ignore[override]
        self, x_BSC: Tensor, rows_B6C: Tensor, mark_BSC: Tensor, feed: Feed
    ) -> Tensor:
        mod = Modulation.unpack(rows_B6C, GATES_FIRST)
        return self.widened(self.attended(x_BSC, mod, feed, None, 0) + mark_BSC, mod)


class LlamaGenStudent(Generator):
    """LlamaGen's trunk, still causal; it reads vectors through a linear layer in place of a table."""

    config: LlamaGenStudentConfig

    def __init__(self, config: LlamaGenStudentConfig) -> None:
        super().__init__()
        self.config = config
        width, cells_L2 = config.width, raster(config.side, config.side)
        self.cond_embed = LabelSlot(config.classes, width)
        self.code_embed = Linear(config.code_width, width)
        self.mark_embed = nn.Embedding(KINDS, width)
        angles_LP = axial_angles(cells_L2, config.head_dim, config.rope_base)
        self.rope = Rope(angles_LP, zeros=config.condition_slots)
        self.blocks = nn.ModuleList(
            LlamaBlock(width, config.heads, config.hidden, config.norm_eps) for _ in range(config.depth)
        )
        self.norm = RMSNorm(width, config.norm_eps)
        self.head = Linear(width, config.vocab, bias=False)
        self.vector_head = VectorHead(width, config.code_width)

    @property
    def order(self) -> RasterOrder:
        """One unit per code."""
        return RasterOrder(self.config.condition_slots, self.config.codes)

    def condition(self, given: Given, null: bool) -> Cond:
        """The slot of a label and the rows of the vector head."""
        cond = self.cond_embed(given, null)
        return cond._replace(rows=(self.vector_head.rows(cond.start_RTD[:, 0]),))

    def forward(self, x_BLd: Tensor, t_B: Tensor, cond: Cond) -> Tensor:
        """Hidden states [B,L,C] of all positions, before the norm of the logits' head."""
        x_BLC = self.code_embed(x_BLd.to(self.code_embed.weight.dtype))
        x_BSC = torch.cat([cond.start_RTD, x_BLC], dim=1)
        at_1S = torch.arange(x_BSC.shape[1], device=x_BSC.device)[None]
        x_BSC = x_BSC + self.mark_embed((at_1S <= t_B[:, None]).long())
        turns_1SP, feed = self.rope(at_1S), Feed(at_1S, self.order.mask())
        for block in self.blocks:
            x_BSC = block(x_BSC, turns_1SP, feed, None, 0)
        return x_BSC[:, 1:]

    def logits(self, h_BnC: Tensor, cond: Cond) -> Tensor:
        """float32 logits [B,n,V]."""
        del cond
        return self.head(self.norm(h_BnC)).float()

    def vectors(self, h_BnC: Tensor, cond: Cond) -> Tensor:
        """Code vectors [B,n,d]."""
        return self.vector_head(h_BnC, cond.rows[-1])


def _earlier_or_itself(level_S: Tensor) -> Tensor:
    """Who sees whom, bool [S,S]."""
    own_SS = torch.eye(len(level_S), dtype=torch.bool, device=level_S.device)
    return (level_S[:, None] > level_S[None, :]) | own_SS
