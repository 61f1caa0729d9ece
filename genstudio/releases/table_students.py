"""Official tensor names of one-step students (Distilled Decoding, arXiv 2412.17153).

They are their teachers' names and a few more. A student of VAR also holds the buffers of its teacher, for one
level more and with a mask of its own. Shapes: S slots, the class in front.
"""

from functools import partial

import torch
from torch import Tensor

from genstudio.configs.students import LlamaGenStudentConfig, VARStudentConfig
from genstudio.releases import table_llamagen, table_var
from genstudio.releases.rename import Derived, Rename, Table


def var_student_table(config: VARStudentConfig) -> Table:
    """Names of a student of VAR."""
    zero_bias = partial(torch.zeros, config.width)
    derived = (
        Derived("lvl_1L", lambda: _levels(config)[None]),
        Derived("attn_bias_for_masking", lambda: _bias(config)),
        *(Derived(f"blocks.{n}.attn.zero_k_bias", zero_bias) for n in range(config.depth)),
    )
    return Table((*table_var.renames(config), *MARK, MARKS, *VECTORS), derived)


def llamagen_student_table(config: LlamaGenStudentConfig) -> Table:
    """Names of a student of LlamaGen."""
    trunk = [*table_llamagen.trunk(config), *table_llamagen.HEAD]
    return Table((*trunk, CODES_BIAS, *MARK, *VECTORS))


MARK = (Rename("mark_embed.weight", "n_d_embed.weight"),)
MARKS = Rename("marks.{n}.*", "layerwise_n_d_embed.{n}.*")
VECTORS = (
    Rename("vector_head.shift_scale", "final_layer_conti.scale_shift_table"),
    Rename("vector_head.linear.*", "final_layer_conti.linear.*"),
)
CODES_BIAS = Rename("code_embed.bias", "tok_embeddings.bias")


def _levels(config: VARStudentConfig) -> Tensor:
    """The level of every slot, int64 [S]."""
    areas = torch.tensor([side * side for side in config.levels])
    return torch.repeat_interleave(torch.arange(len(areas)), areas)


def _bias(config: VARStudentConfig) -> Tensor:
    """Added to attention scores: 0 where the key is of an earlier level or the query itself, else -inf."""
    level_S = _levels(config)
    sees_SS = (level_S[:, None] > level_S[None, :]) | torch.eye(len(level_S), dtype=torch.bool)
    return torch.zeros(sees_SS.shape).masked_fill(~sees_SS, -torch.inf)[None, None]
