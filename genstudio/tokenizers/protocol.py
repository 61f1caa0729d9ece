"""What every tokenizer offers: pixels to codes, codes to latents, latents to pixels.

Latents stand between codes and pixels because smoothed sampling and distilled students decode vectors that no
code names. Some decoders sample (D-AR, FlexTok) and some encoders do (KL posteriors): they take their random
numbers from `Sampling`, the same for every preview of a picture; the others do not look at it.
Shapes: B pictures, C channels, H x W pixels, n codes, N vectors, V codes of a table.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

from genstudio.samplers.draws import Draws
from genstudio.samplers.values import Codes


class Sampling(NamedTuple):
    """Draws and picture seeds for a tokenizer that samples; `upto` leading codes are known (None: all)."""

    draws: Draws
    seed_B: Tensor
    upto: int | Tensor | None = None


class Tokenizer(Protocol):
    """decode(latents(codes)) is the picture of the codes; a preview never reads codes that come later."""

    def encode(self, x_BCHW: Tensor, sampling: Sampling | None = None) -> Codes:
        """Codes of pictures in [-1, 1]."""
        ...

    def latents(self, codes: Codes) -> Tensor:
        """What `decode` reads, from as many codes as are given."""
        ...

    def decode(self, latents: Tensor, sampling: Sampling | None = None) -> Tensor:
        """Pictures [B,C,H,W], black at -1 and white at 1; values beyond are clamped where levels are made of
        them (`media.pixels`), since some evaluations resize before that."""
        ...


class Quantizer(Protocol):
    """A finite table of code vectors."""

    @property
    def table_VC(self) -> Tensor: ...
    def lookup(self, ids_Bn: Tensor) -> Tensor: ...
    def nearest(self, z_NC: Tensor) -> Tensor: ...


class Pyramid(Quantizer, Protocol):
    """The side of a next-scale tokenizer that a walk climbs: an empty latent, add a scale, feed the next."""

    def start(self, batch: int) -> Tensor: ...
    def add(self, f_BChw: Tensor, vectors_BnC: Tensor, scale: int) -> Tensor: ...
    def feed(self, f_BChw: Tensor, scale: int) -> Tensor: ...
