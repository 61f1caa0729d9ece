"""The next-neighbour objective: every code from all codes nearer to the first, in one pass (NAR, arXiv
2503.10696). Its logits are mixed as in sampling, so that the mean of the heads is what learns.

Official code drops out a tenth of embeddings and of both residual branches while it trains; here only labels
are dropped.
Shapes: B pictures, L codes of a picture, V codes.
"""

from torch import Tensor, nn

from genstudio.generators.nar import NAR, teacher_forced
from genstudio.samplers.values import Given
from genstudio.training.objectives.codes import CodesObjective


class NextNeighbourObjective(CodesObjective):
    """Matrices are all decayed, embeddings with them, as officially."""

    undecayed = ()

    def logits(self, network: nn.Module, ids_BL: Tensor, given: Given) -> Tensor:
        assert isinstance(network, NAR)
        return teacher_forced(network, ids_BL, given)
