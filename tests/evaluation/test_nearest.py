"""The nearest training picture, and what counts as a copy of it."""

import pytest
import torch

from genstudio.evaluation.nearest import apart, copies, nearest


def pictures(count: int, seed: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def test_the_nearest_picture_is_found_as_by_comparing_all() -> None:
    training, made = pictures(300, 0), pictures(600, 1)
    found = nearest(made, training)
    all_NM = torch.stack([apart(made, one.expand_as(made)) for one in training], dim=1)
    torch.testing.assert_close(found.distance_N, all_NM.min(1).values)
    assert torch.equal(found.index_N, all_NM.argmin(1))


def test_copies_are_found_and_other_pictures_are_not() -> None:
    training = pictures(200, 0)
    noise = torch.randint(-3, 4, training.shape, generator=torch.Generator().manual_seed(2))
    reconstructed = (training + noise).clamp(0, 255).to(torch.uint8)
    made = torch.cat([reconstructed[:50], pictures(50, 3)])
    found = nearest(made, training)
    assert found.index_N[:50].tolist() == list(range(50))
    copied = copies(found, apart(training, reconstructed))
    assert copied[:50].float().mean() > 0.85 and not copied[50:].any()


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        nearest(pictures(1, 0), pictures(1, 0)[..., :4])
