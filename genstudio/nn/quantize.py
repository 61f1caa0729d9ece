"""Tables of code vectors: look up by id, find the nearest; raw, or compared by angle.

Codes compared by angle (ViT-VQGAN, arXiv 2110.04627, section 3.2) are scaled to length 1 wherever they are
used: their stored rows are not of length 1, in official files neither.
Shapes: B pictures, C code width, n codes of a picture, N vectors, V codes.
"""

import torch.nn.functional as F
from genstudio_kernels.nearest_code import nearest_code
from torch import Tensor, nn

from genstudio.nn.twins import Twin


class Codebook(Twin):
    """`vocab` codes of `width` numbers; `normalised` ones have length 1."""

    def __init__(self, vocab: int, width: int, normalised: bool = False) -> None:
        super().__init__()
        self.normalised = normalised
        self.codebook = nn.Embedding(vocab, width)

    @property
    def table_VC(self) -> Tensor:
        """The codebook as it is stored."""
        return self.codebook.weight

    def lookup(self, ids_Bn: Tensor) -> Tensor:
        """Code vectors [B,n,C], as a decoder reads them."""
        return self.scaled(self.codebook(ids_Bn))

    def nearest(self, z_NC: Tensor) -> Tensor:
        """Ids [N] of the closest codes; of equally close ones the first."""
        return nearest_code(self.scaled(z_NC), self.scaled(self.codebook.weight), self.kernels)

    def scaled(self, z_NC: Tensor) -> Tensor:
        """Vectors as they are compared: of length 1 where codes are."""
        return F.normalize(z_NC, dim=-1) if self.normalised else z_NC
