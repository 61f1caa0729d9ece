"""Codes of a whole set: what they are, and when they are encoded again."""

from pathlib import Path

import pytest
import torch

from genstudio import registry
from genstudio.data.sources import open_pictures
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from genstudio.training import codes
from genstudio.training.initial import initialise
from genstudio.training.objectives.base import to_unit
from tests.training import tiny


@pytest.fixture
def tokenizer(pictures: Path) -> MultiScaleVQ:
    network = initialise(registry.build(tiny.recipe(tiny.VQ, pictures).network, "cpu"), 0)
    assert isinstance(network, MultiScaleVQ)
    return network


def test_codes_are_those_of_the_tokenizer_mirrored_where_asked(
    pictures: Path, tokenizer: MultiScaleVQ, tmp_path: Path
) -> None:
    source = open_pictures(f"fashion:{pictures}", "train", 32, 1)
    book = codes.encoded(tokenizer, source, True, tmp_path)
    index_B, flip_B = torch.tensor([3, 7, 20]), torch.tensor([False, True, False])
    x_BCHW = to_unit(source.pixels(index_B), torch.device("cpu"))
    x_BCHW[1] = x_BCHW[1].flip(-1)
    ids_BL, label_B = book.take(index_B, flip_B)
    assert torch.equal(ids_BL, torch.cat(tokenizer.encode(x_BCHW).data, dim=1))
    assert label_B.tolist() == source.labels(index_B).tolist()
    assert ids_BL.dtype == torch.int64 and book.ids_NL.dtype == torch.int16


def test_codes_are_encoded_once_for_the_same_tokenizer_and_pictures(
    pictures: Path, tokenizer: MultiScaleVQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_pictures(f"fashion:{pictures}", "train", 32, 1)
    first = codes.encoded(tokenizer, source, False, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(MultiScaleVQ, "encode", None)
        again = codes.encoded(tokenizer, source, False, tmp_path)
    assert torch.equal(first.ids_NL, again.ids_NL) and again.flipped_NL is None
    with torch.no_grad():
        tokenizer.quantize.codebook.weight[0] += 1e-3
    changed = codes.encoded(tokenizer, source, False, tmp_path)
    assert changed.reads["tokenizer"] != first.reads["tokenizer"]
    other = codes.encoded(tokenizer, open_pictures(f"fashion:{pictures}", "test", 32, 1), False, tmp_path)
    assert other.reads["data"] != first.reads["data"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
