"""Labels are ordered, and a run promises what its weakest part promises."""

from genstudio.samplers.exactness import Exactness, weakest


def test_the_weakest_label_counts() -> None:
    exact, same, lossy = Exactness
    assert exact < same < lossy
    assert weakest([exact, same]) is same
    assert weakest([lossy, exact, same]) is lossy
    assert weakest([]) is exact


def test_labels_read_as_people_write_them() -> None:
    assert [one.label for one in Exactness] == ["exact", "same-distribution", "lossy"]
