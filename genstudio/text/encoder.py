"""What turns prompts into features, and where its files lie on this machine.

Text encoders are other people's networks, read through their own library: `t5` is the one that exists. No
torch here. Shapes: B prompts, T slots, E width.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from genstudio.errors import Exit, GenstudioError
from genstudio.files import home
from genstudio.text.features import Making

if TYPE_CHECKING:
    from torch import Tensor

KINDS: Final = ("t5",)
PATTERNS: Final = "'*.json' '*.model' '*.safetensors'"


class TextEncoder(Protocol):
    """Gives features of prompts; `making` says how, for whoever keeps them."""

    @property
    def making(self) -> Making: ...
    def __call__(self, prompts: Sequence[str]) -> "tuple[Tensor, Tensor]":
        """Features [B,T,E] and which rows are open [B,T]; the others are zero and come first.

        Raises GenstudioError for prompts that do not fit into the slots.
        """
        ...


def find_encoder(encoder: str) -> Path:
    """The folder of an encoder: that folder itself, one of its name below `files.home()/encoders`, or the
    hub's cache; the hub is not asked.

    Raises GenstudioError (exit code 3) where it is not here, or is no encoder that genstudio knows.
    """
    own = home() / "encoders" / Path(encoder).name
    folder = next((path for path in (Path(encoder), own) if path.is_dir()), None) or _cached(encoder)
    if folder is None:
        raise GenstudioError(
            f"The text encoder {encoder} is not on this machine.",
            f"Run: hf download {encoder} --include {PATTERNS}; or put its folder at {own}; or use "
            "--features FILE of a machine that has it.",
            Exit.WEIGHTS,
        )
    _check_kind(folder)
    return folder


def _cached(encoder: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(encoder, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _check_kind(folder: Path) -> None:
    try:
        kind = dict(json.loads((folder / "config.json").read_text(encoding="utf-8"))).get("model_type")
    except (OSError, ValueError, TypeError) as error:
        raise GenstudioError(
            f"{folder} holds no text encoder: its config.json cannot be read.",
            "Give a folder as the hub has it.",
            Exit.WEIGHTS,
        ) from error
    if kind not in KINDS:
        raise GenstudioError(
            f"{folder} holds a {kind}; known text encoders are: {', '.join(KINDS)}.",
            "Choose a T5, such as google/flan-t5-xl.",
            Exit.WEIGHTS,
        )
