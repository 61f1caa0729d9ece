"""The next-scale objective: every code of every scale in one teacher-forced pass (VAR, arXiv 2404.02905).

Codes are encoded once (`training/codes.py`); what the transformer reads is made from them per batch, since it
is wider than they are.
Shapes: B pictures, L codes of a picture, V codes, K scales.
"""

import torch
from torch import Tensor, nn

from genstudio.generators.var import VAR, teacher_forced
from genstudio.samplers.values import Codes, Given
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from genstudio.training.objectives.codes import CodesObjective


class NextScaleObjective(CodesObjective):
    """The metrics also say the loss of each scale."""

    network: VAR
    tokenizer: MultiScaleVQ
    undecayed = ("slot_pos", "start_pos", "level_embed", "log_scale", "offset")

    def logits(self, network: nn.Module, ids_BL: Tensor, given: Given) -> Tensor:
        assert isinstance(network, VAR)
        return teacher_forced(network, self._feeds(ids_BL), given)

    def parts(self, nll_BL: Tensor) -> dict[str, Tensor]:
        nll_L = nll_BL.mean(dim=0)
        scales = [nll_L[start:end].mean() for start, end in self.network.config.bounds]
        return {"scales": torch.stack(scales)}

    @torch.no_grad()
    def _feeds(self, ids_BL: Tensor) -> Tensor:
        """Input of the scales after the first, in float32: it is what sampling will feed."""
        sizes = [end - start for start, end in self.network.config.bounds]
        with torch.autocast(self.device.type, enabled=False):
            return self.tokenizer.pyramid.teacher(Codes("scales", torch.split(ids_BL, sizes, dim=1)))
