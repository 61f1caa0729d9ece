"""T5 encoders through transformers (T5: arXiv 1910.10683; Flan-T5: 2210.11416), as LlamaGen and NAR do.

Prompts are cleaned, then always filled up to the same number of tokens, so that a prompt's features do not
depend on its neighbours; padding goes to the left and becomes zero. The official code cuts what is too long
without a word; here a prompt that does not fit is refused, with what would not be read.
Shapes: B prompts, T slots, E width.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from genstudio.errors import Exit, GenstudioError
from genstudio.nn.conditions import left_padded
from genstudio.releases.release import Cleaning, Release
from genstudio.runtime import Runtime
from genstudio.text.clean import cleaned
from genstudio.text.encoder import find_encoder
from genstudio.text.extra import needs_text_extra
from genstudio.text.features import Dtype, Making


class Tokens:
    """The tokenizer of an encoder: prompts become `slots` tokens each, the end mark among them."""

    def __init__(self, folder: Path, cleaning: Cleaning, slots: int) -> None:
        with needs_text_extra("Prompts are read"):
            from transformers import AutoTokenizer
        with _explained(folder):
            self._split: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.cleaning, self.slots = cleaning, slots

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids [B,T], padding behind, and which of them are open [B,T]. Raises GenstudioError as `check`."""
        self.check(prompts)
        read = [cleaned(prompt, self.cleaning) for prompt in prompts]
        found = self._split(read, padding="max_length", max_length=self.slots, return_tensors="pt")
        return found["input_ids"], found["attention_mask"].bool()

    def check(self, prompts: Sequence[str]) -> None:
        """Raises GenstudioError for prompts of which nothing can be read, and for those that do not fit."""
        for prompt in prompts:
            read = cleaned(prompt, self.cleaning)
            found = self._split(read, return_offsets_mapping=True, verbose=False)
            if len(found["input_ids"]) > self.slots:
                start, _ = found["offset_mapping"][self.slots - 1]  # the last slot is the end mark's
                raise GenstudioError(
                    f"The prompt {_short(prompt)!r} has {len(found['input_ids'])} tokens, {self.slots} can "
                    "be read.",
                    f"Shorten it: not read would be {read[start:].strip()!r}.",
                )


class T5:
    """An encoder with its weights: prompts to features."""

    def __init__(self, encoder: str, cleaning: Cleaning, slots: int, runtime: Runtime) -> None:
        folder = find_encoder(encoder)
        self.tokens = Tokens(folder, cleaning, slots)
        # In float16 its feed-forward layers overflow; the official code takes bfloat16.
        dtype: Dtype = "float32" if runtime.dtype == "float32" else "bfloat16"
        self.network = _load(folder, getattr(torch, dtype)).to(runtime.torch_device)
        self.device = runtime.torch_device
        name = Path(encoder).resolve().name if Path(encoder).is_dir() else encoder
        self.making = Making(encoder=name, sha256=_hash(self.network), dtype=dtype, cleaning=cleaning)

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features [B,T,E] and which rows are open [B,T], padding first and zero."""
        ids_BT, open_BT = (part.to(self.device) for part in self.tokens(prompts))
        found = self.network(input_ids=ids_BT, attention_mask=open_BT.long())
        return left_padded(found.last_hidden_state, open_BT)


def open_t5(release: Release, runtime: Runtime, encoder: str | None = None) -> T5:
    """The encoder that a release reads, or another place of it.

    Raises GenstudioError (exit code 3) where it is not here or is not the one that the release was trained
    with, and where its features have another width.
    """
    part, caption = release.text, release.caption
    assert part is not None and caption is not None
    opened = T5(encoder or part.encoder, part.cleaning, caption.slots, runtime)
    width = opened.network.config.d_model
    if width != caption.width:
        raise GenstudioError(
            f"Features of {opened.making.encoder} are {width} wide; {release.name} reads {caption.width}.",
            f"It reads {part.encoder}.",
            Exit.WEIGHTS,
        )
    if part.sha256 not in (None, opened.making.sha256):
        raise GenstudioError(
            f"{opened.making.encoder} has other weights here than {release.name} was trained with.",
            "Get them again, from where the model came.",
            Exit.WEIGHTS,
        )
    return opened


def open_tokens(release: Release, encoder: str | None = None) -> Tokens:
    """The tokenizer of the encoder that a release reads, or of another place, without any weights.

    Raises GenstudioError as `find_encoder` does.
    """
    part, caption = release.text, release.caption
    assert part is not None and caption is not None
    return Tokens(find_encoder(encoder or part.encoder), part.cleaning, caption.slots)


def _load(folder: Path, dtype: torch.dtype) -> Any:
    with needs_text_extra("Prompts are read"):
        from transformers import T5EncoderModel
    with _explained(folder), _silent():
        network, report = T5EncoderModel.from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    if missing := sorted(report["missing_keys"]):
        raise GenstudioError(
            f"{folder} lacks {len(missing)} tensors of a T5 encoder ({missing[0]}, ...).",
            "Download it again.",
            Exit.WEIGHTS,
        )
    return network.eval()


def _hash(network: nn.Module) -> str:
    """Of names and numbers rounded to bfloat16: the same for every file format and number type."""
    total = hashlib.sha256()
    for name, value in sorted(network.named_parameters()):
        total.update(name.encode())
        total.update(value.detach().to(torch.bfloat16).cpu().contiguous().view(torch.uint8).numpy().data)
    return total.hexdigest()


@contextmanager
def _silent() -> Iterator[None]:
    """Without the library's bar and its table of the decoder's tensors, which are left out on purpose."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """The library's complaints about files, for people."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0]
        raise GenstudioError(
            f"The text encoder in {folder} cannot be read: {reason}", "Download it again.", Exit.WEIGHTS
        ) from error


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 60 else f"{prompt[:57]}..."
