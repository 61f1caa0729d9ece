"""Architecture numbers of a VQ tokenizer with one code per cell (VQGAN, as LlamaGen has it); no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class VQConfig:
    """Every number that the tensors of a VQ tokenizer depend on.

    `latent_width` is the width between encoder and quantiser, which is narrowed to `code_width` for the
    search. `normalised` codes are compared by angle and decoded at length 1. `beta` weighs the commitment.
    `pixels` is the side of the pictures that the file was made for; any multiple of the stride works.
    """

    kind: Literal["vq"] = "vq"
    channels: int
    width: int
    width_mult: tuple[int, ...]
    res_blocks: int
    latent_width: int
    code_width: int
    vocab: int
    pixels: int
    normalised: bool = True
    beta: float = 0.25
    groups: int = 32

    @property
    def stride(self) -> int:
        """Pixels of the picture per code, along one side."""
        return int(2 ** (len(self.width_mult) - 1))
