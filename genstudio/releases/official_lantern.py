"""The drafters that LANTERN's authors released (arXiv 2410.03355) for LlamaGen from text: numbers and files.

Nobody published hashes or sizes, and the licence of the weights is not stated where we looked: all stay
unknown. Both files have one name and hold tensors of the same shapes. Their targets were also released, under
converted names; they are LlamaGen's own two networks from text. The drafter of Anole is left out, as Anole.
"""

from typing import Final

from genstudio.configs.drafter import DrafterConfig
from genstudio.releases.official_llamagen import CAPTION, STRIDE, VOCAB
from genstudio.releases.release import Distilled, File, Release

SOURCE: Final = "arXiv 2410.03355, github.com/jadohu/LANTERN"
HEADS, WIDTH, HIDDEN = 20, 1280, 3584  # LlamaGen-XL's


def _drafter(name: str, pixels: int) -> Release:
    """One layer, as wide as LlamaGen-XL."""
    teacher = f"llamagen-t2i-xl-{pixels}"
    config = DrafterConfig(
        width=WIDTH,
        heads=HEADS,
        hidden=HIDDEN,
        vocab=VOCAB,
        side=pixels // STRIDE,
        condition_slots=CAPTION.slots,
    )
    return Release(
        name=name.replace("_", "-"),
        title=f"Drafter of LANTERN for {teacher}",
        config=config,
        licence=None,
        source=SOURCE,
        distilled=Distilled(teacher=teacher),
        file=File(hub=f"jadohu/{name}", name="pytorch_model.bin"),
    )


DRAFTERS: Final = (_drafter("llamagen_drafter", 256), _drafter("llamagen2_drafter", 512))
