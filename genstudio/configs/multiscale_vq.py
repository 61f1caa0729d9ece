"""Architecture numbers of the multi-scale residual VQ tokenizer (VAR, arXiv 2404.02905); no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiScaleVQConfig:
    """Every number that the tensors of a multi-scale VQVAE depend on.

    `phis` is the number of 3x3 convolutions shared by the scales; `sizes` are the side lengths of the code
    maps, coarse to fine, the last one being the latent's own. One tokenizer file can serve several `sizes`
    (256 and 512 px), so a generator may use its own list: see `replace`.
    """

    kind: Literal["multiscale_vq"] = "multiscale_vq"
    channels: int
    width: int
    width_mult: tuple[int, ...]
    res_blocks: int
    code_width: int
    vocab: int
    sizes: tuple[int, ...]
    phis: int
    phi_ratio: float
    quant_kernel: int
    beta: float

    @property
    def stride(self) -> int:
        """Pixels of the picture per cell of the latent, along one side."""
        return int(2 ** (len(self.width_mult) - 1))

    @property
    def pixels(self) -> int:
        """Side length of the picture that the finest code map stands for."""
        return self.sizes[-1] * self.stride
