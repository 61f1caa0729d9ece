"""A tiny T5 with random weights and a tokenizer of letters, written by transformers; a release for it."""

import string
from dataclasses import replace
from pathlib import Path

import pytest

from genstudio.configs.llamagen import Caption, LlamaGenConfig
from genstudio.releases.release import Release, TextPart
from tests.releases import tiny

pytest.importorskip("transformers", reason="needs the extra genstudio[text]")
pytest.importorskip("ftfy", reason="needs the extra genstudio[text]")

NAME, WIDTH, SLOTS = "tiny-t5", 20, 12
PIECES = [
    *string.ascii_lowercase,
    *string.digits,
    *string.punctuation,
    "▁a",
    "▁red",
    "▁bird",
    "▁blue",
    "▁fish",
    "▁rain",
]


def write_t5(folder: Path, width: int = WIDTH, seed: int = 0) -> Path:
    """A folder as the hub has it, with the decoder that nobody reads."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [(piece, -1.0 - 2.0 * (len(piece) == 1)) for piece in PIECES]
    T5Tokenizer(vocab=vocabulary, extra_ids=0).save_pretrained(folder)
    config = T5Config(
        vocab_size=len(vocabulary),
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def text_release(part: TextPart | None = TextPart(encoder=NAME, cleaning="deepfloyd")) -> Release:
    """A generator from text that reads that T5."""
    config = LlamaGenConfig(
        depth=2, width=32, heads=2, hidden=64, vocab=64, side=4, caption=Caption(slots=SLOTS, width=WIDTH)
    )
    return replace(tiny.release(config, "tiny-text"), text=part, tokenizer="tiny-vq")
