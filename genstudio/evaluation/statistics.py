"""Statistics of scored pictures, in the form in which a reference is stored: moments, and some features.

Shapes: N pictures, D features.
"""

import torch

from genstudio.evaluation.frechet import Moments
from genstudio.evaluation.reference import KEPT, ReferenceStatistics
from genstudio.evaluation.run import POOL, SPATIAL
from genstudio.evaluation.scores import Sample


def statistics(sample: Sample, source: str) -> ReferenceStatistics:
    """Of all pictures of a sample; `source` names them for people."""
    every = max(1, sample.count // KEPT)
    pool_ND = torch.cat(list(sample.read(POOL)))
    return ReferenceStatistics(
        gaussian=_moments(sample, POOL).gaussian,
        spatial=_moments(sample, SPATIAL).gaussian if SPATIAL in sample.shards.names() else None,
        features_ND=pool_ND[::every][:KEPT].half(),
        extractor=sample.extractor.name,
        digest=sample.extractor.digest,
        source=source,
        count=sample.count,
    )


def _moments(sample: Sample, name: str) -> Moments:
    rows = sample.read(name)
    moments = Moments.of(next(rows))
    for rows_ND in rows:
        moments = moments.add(rows_ND)
    return moments
