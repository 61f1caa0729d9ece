"""How a score stands while its pictures are still being made. Shapes: N pictures of a batch, D features."""

import time

from genstudio.evaluation.frechet import Against, Moments
from genstudio.evaluation.reference import ReferenceStatistics
from genstudio.evaluation.run import Progress

SHARE = 20  # an estimate costs one part in so many of the run at most
SECONDS = 2.0


class Running:
    """The distance of what this process has seen; small samples overstate it, so it falls for a while."""

    def __init__(self, reference: ReferenceStatistics | None) -> None:
        self._against = Against(reference.gaussian) if reference is not None else None
        self._moments: Moments | None = None
        self._next = 0.0
        self._text = ""

    def text(self, progress: Progress) -> str:
        """For the progress bar; computed anew every few seconds."""
        pool_ND = progress.pool_ND
        if pool_ND is None or len(pool_ND) == 0:
            return self._text
        self._moments = Moments.of(pool_ND) if self._moments is None else self._moments.add(pool_ND)
        started = time.monotonic()
        if self._against is not None and self._moments.count > 1 and started >= self._next:
            self._text = f"distance {self._against.distance(self._moments.gaussian):.3g} so far"
            ended = time.monotonic()
            self._next = ended + max(SECONDS, SHARE * (ended - started))
        return self._text
