"""What a way of sampling promises about its pictures: a label that is printed, stored, tested. No torch."""

from collections.abc import Iterable
from enum import IntEnum


class Exactness(IntEnum):
    """From the strongest promise to the weakest.

    EXACT: the same codes as the plain sampler for the same seed. SAME_DISTRIBUTION: other codes, of the same
    law. LOSSY: another law; what it costs has to be measured.
    """

    EXACT = 0
    SAME_DISTRIBUTION = 1
    LOSSY = 2

    @property
    def label(self) -> str:
        """As people read it: "same-distribution"."""
        return self.name.lower().replace("_", "-")

    @property
    def words(self) -> str:
        """The label of a run: arithmetic that is grouped in another way may decide a near tie otherwise."""
        return f"{self.label} up to near ties" if self is Exactness.EXACT else self.label


def weakest(labels: Iterable[Exactness]) -> Exactness:
    """What a run promises that uses all of these at once; exact where there are none."""
    return max(labels, default=Exactness.EXACT)
