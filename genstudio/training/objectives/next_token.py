"""The next-token objective: every code from the codes before it, in one pass (LlamaGen, arXiv 2406.06525).

Official code drops out a tenth of embeddings and of both residual branches while it trains; here only labels
are dropped.
Shapes: B pictures, L codes of a picture, V codes.
"""

from torch import Tensor, nn

from genstudio.generators.llamagen import LlamaGen, teacher_forced
from genstudio.samplers.values import Given
from genstudio.training.objectives.codes import CodesObjective


class NextTokenObjective(CodesObjective):
    """Matrices are all decayed, embeddings with them, as officially."""

    undecayed = ()

    def logits(self, network: nn.Module, ids_BL: Tensor, given: Given) -> Tensor:
        assert isinstance(network, LlamaGen)
        return teacher_forced(network, ids_BL, given)
