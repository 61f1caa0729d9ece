"""Pieces: the same rows in any size, and halves where memory ends."""

import pytest
import torch
from torch import Tensor

from genstudio.distillation.pieces import Pieces
from genstudio.errors import Exit, GenstudioError

NUMBERS = torch.arange(11)


def test_pieces_of_any_size_make_the_same_rows() -> None:
    for size in (1, 3, 11, 50):
        assert Pieces(size)(torch.square, NUMBERS).equal(NUMBERS**2)


def test_what_does_not_fit_is_made_in_halves_from_there_on() -> None:
    seen: list[int] = []
    said: list[str] = []

    def make(number_n: Tensor) -> Tensor:
        seen.append(len(number_n))
        if len(number_n) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return number_n**2

    pieces = Pieces(8, said.append)
    assert pieces(make, NUMBERS).equal(NUMBERS**2)
    assert seen == [8, 4, 2, 2, 2, 2, 2, 1]
    assert said[-1] == "Out of memory with 4 pictures at a time: going on with 2."
    assert pieces.size == 2


def test_where_not_even_one_fits_it_says_so() -> None:
    def make(number_n: Tensor) -> Tensor:
        raise MemoryError

    with pytest.raises(GenstudioError, match="Not even one picture") as caught:
        Pieces(4)(make, NUMBERS)
    assert caught.value.code == Exit.MEMORY


def test_other_errors_pass() -> None:
    def make(number_n: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Pieces(4)(make, NUMBERS)
