"""Nearest codes: what the full matrix of distances says, and a table in the cache that is computed once."""

from pathlib import Path

import pytest
import torch

from genstudio.samplers.speculate import neighbours
from genstudio.samplers.speculate.neighbours import nearest_codes


def codebook(codes: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(codes, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("codes", "width", "k"), [(5, 2, 4), (60, 8, 10), (300, 3, 1)])
def test_neighbours_stand_in_the_order_of_their_distance(
    codes: int, width: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "DISTANCES", 1000)
    table_VC = codebook(codes, width)
    distance_VV = torch.cdist(table_VC.double(), table_VC.double()).fill_diagonal_(torch.inf)
    found_Vk = nearest_codes(table_VC, k)
    assert found_Vk.dtype == torch.int32
    assert found_Vk.equal(distance_VV.argsort(-1)[:, :k].int())


def test_codes_are_not_normalised() -> None:
    """(2, 0) is nearer to (1, 1) than to (9, 0), though it points where (9, 0) does."""
    table_VC = torch.tensor([[2.0, 0.0], [9.0, 0.0], [1.0, 1.0]])
    assert nearest_codes(table_VC, 1)[0].tolist() == [2]


def test_an_equal_code_is_a_neighbour_and_the_lower_id_comes_first() -> None:
    table_VC = torch.tensor([[0.0], [1.0], [1.0], [-1.0], [0.0]])
    assert nearest_codes(table_VC, 4)[0].tolist() == [4, 1, 2, 3]


def test_more_neighbours_than_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 4"):
        nearest_codes(codebook(5, 2), 5)


def test_a_table_is_computed_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table_VC = codebook(40, 4)
    first = neighbours.neighbours(table_VC, 6)
    assert len(list((home / "neighbours").iterdir())) == 1
    monkeypatch.setattr(neighbours, "nearest_codes", lambda table, k: pytest.fail("computed again"))
    assert neighbours.neighbours(table_VC, 6).equal(first)
    monkeypatch.undo()


def test_other_codes_have_another_table(home: Path) -> None:
    tables = {neighbours.place(codebook(40, 4, seed), k) for seed in (0, 1) for k in (3, 4)}
    assert len(tables) == 4
