"""Pictures in memory: the same ones, each read once."""

from pathlib import Path

import torch
from torch import Tensor

from genstudio.data.pictures import Captioned, Indices
from genstudio.data.sources import open_pictures
from genstudio.training import kept as keeping
from genstudio.training.kept import Kept, kept


class Counting:
    """Pictures whose value is their number, and a list of what was asked for."""

    classes, fingerprint = ("all",), "f"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 9

    def pixels(self, indices: Indices) -> Tensor:
        self.asked += list(map(int, indices))
        return torch.as_tensor(indices).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)

    def labels(self, indices: Indices) -> Tensor:
        return torch.zeros(len(indices), dtype=torch.int64)


def test_every_picture_is_read_once_and_comes_back_in_the_order_asked() -> None:
    source = Counting()
    pictures = kept(source, pixels=2, channels=3)
    assert isinstance(pictures, Kept) and len(pictures) == 9
    assert pictures.pixels([4, 1, 4])[:, 0, 0, 0].tolist() == [4, 1, 4]
    assert pictures.pixels(torch.tensor([1, 8]))[:, 2, 1, 1].tolist() == [1, 8]
    assert sorted(source.asked) == [1, 4, 8]


def test_what_only_some_sources_offer_is_still_there() -> None:
    class Talking(Counting):
        def captions(self, indices: Indices) -> list[str]:
            return [f"number {index}" for index in indices]

    talking, silent = kept(Talking(), pixels=2, channels=3), kept(Counting(), pixels=2, channels=3)
    assert isinstance(talking, Captioned) and talking.captions([4]) == ["number 4"]
    assert not isinstance(silent, Captioned)


def test_a_set_that_does_not_fit_is_left_where_it_is(monkeypatch) -> None:
    monkeypatch.setattr(keeping, "LIMIT", 100)
    source = Counting()
    assert kept(source, pixels=2, channels=3) is source


def test_a_real_source_serves_the_same_pictures(pictures: Path) -> None:
    source = open_pictures(f"fashion:{pictures}", "train", 32, 1)
    ours = kept(source, 32, 1)
    assert torch.equal(ours.pixels([5, 2]), source.pixels([5, 2])) and ours.fingerprint == source.fingerprint
