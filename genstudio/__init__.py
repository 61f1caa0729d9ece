"""genstudio: sample, score and train autoregressive image and video generators.

import genstudio
pictures = genstudio.load("var-fashion").sample(classes="bag", n=4, seed=0)
pictures[0].image.save("bag.png")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genstudio.studio import Studio

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(model: str | None = None, *, device: str = "auto", dtype: str = "auto") -> "Studio":
    """A release, ready to sample: by name, by folder, or the default one.

    Raises GenstudioError for an unknown name, or where its weights are missing or unfit.
    """
    from genstudio.studio import Studio

    return Studio.load(model, device=device, dtype=dtype)
