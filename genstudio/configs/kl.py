"""Architecture numbers of the KL-regularised tokenizer (LDM, arXiv 2112.10752, as MAR has it); no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class KLConfig:
    """Every number that the tensors of a KL tokenizer depend on, and the `scale` of its codes.

    Codes are `code_width` channels a cell, latents times `scale`, so that they have a variance near 1.
    `attention` are the levels of the encoder that have it, `decoder_attention` those of the decoder: 0 is
    full size, -1 the deepest. `pixels` is the side of the pictures that the file was made for; any multiple
    of the stride works.
    """

    kind: Literal["kl"] = "kl"
    channels: int
    width: int
    width_mult: tuple[int, ...]
    res_blocks: int
    code_width: int
    pixels: int
    scale: float
    attention: tuple[int, ...] = (-1,)
    decoder_attention: tuple[int, ...] = ()
    groups: int = 32

    @property
    def stride(self) -> int:
        """Pixels of the picture per cell, along one side."""
        return int(2 ** (len(self.width_mult) - 1))
