"""Frechet distance of two Gaussians fitted to features (FID, arXiv 1706.08500, equation 6), in float64.

    d = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

The trace of the root is the sum of the square roots of the eigenvalues of C1^(1/2) C2 C1^(1/2): symmetric,
so no complex parts and no added diagonal, which the usual sqrtm of C1 C2 needs for singular covariances.
Shapes: B rows of a batch, D features.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Mean [D] and covariance [D,D], float64."""

    mean_D: Tensor
    covariance_DD: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Count, mean and scatter (sum of outer products of deviations) of features seen so far, float64.

    A value: `add` and `merge` return new ones, in any grouping the same up to rounding (Chan et al. 1979).
    """

    count: int
    mean_D: Tensor
    scatter_DD: Tensor

    @classmethod
    def empty(cls, features: int) -> "Moments":
        """Nothing seen yet."""
        zeros_D = torch.zeros(features, dtype=torch.float64)
        return cls(0, zeros_D, torch.outer(zeros_D, zeros_D))

    @classmethod
    def of(cls, features_BD: Tensor) -> "Moments":
        """Those of one batch."""
        return cls.empty(features_BD.shape[1]).add(features_BD)

    @property
    def covariance_DD(self) -> Tensor:
        """The sample covariance (N-1); needs two rows or more."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two rows, not {self.count}")
        return self.scatter_DD / (self.count - 1)

    @property
    def gaussian(self) -> Gaussian:
        """The Gaussian fitted to the rows; needs two or more."""
        return Gaussian(self.mean_D, self.covariance_DD)

    def add(self, features_BD: Tensor) -> "Moments":
        """With the rows of a batch."""
        if len(features_BD) == 0:
            return self
        rows_BD = features_BD.detach().to("cpu", torch.float64)
        mean_D = rows_BD.mean(0)
        centred_BD = rows_BD - mean_D
        return self.merge(Moments(len(rows_BD), mean_D, centred_BD.T @ centred_BD))

    def merge(self, other: "Moments") -> "Moments":
        """With everything that `other` has seen."""
        count = self.count + other.count
        if count == 0:
            return self
        shift_D = other.mean_D - self.mean_D
        mean_D = self.mean_D + shift_D * (other.count / count)
        between_DD = torch.outer(shift_D, shift_D) * (self.count * other.count / count)
        return Moments(count, mean_D, self.scatter_DD + other.scatter_DD + between_DD)

    def without(self, part: "Moments") -> "Moments":
        """Of the rows left when those of `part`, once added or merged, are taken out again.

        The inverse of `merge`. It loses no more digits than the rest is smaller than the whole: none to speak
        of for a twentieth taken out. Raises ValueError when nothing is left.
        """
        count = self.count - part.count
        if count <= 0:
            raise ValueError(f"{part.count} of {self.count} rows leave none")
        shift_D = part.mean_D - self.mean_D
        mean_D = self.mean_D - shift_D * (part.count / count)
        between_DD = torch.outer(shift_D, shift_D) * (self.count * part.count / count)
        return Moments(count, mean_D, self.scatter_DD - part.scatter_DD - between_DD)


class Against:
    """Distances to one reference, whose root is taken once."""

    def __init__(self, reference: Gaussian) -> None:
        self._reference = reference
        self._root_DD = _root(reference.covariance_DD)

    def distance(self, other: Gaussian) -> float:
        """The squared Frechet distance; 0 for the reference itself, never below."""
        eigenvalues_D = torch.linalg.eigvalsh(self._root_DD @ other.covariance_DD @ self._root_DD)
        overlap = eigenvalues_D.clamp_min(0).sqrt().sum()
        means = (self._reference.mean_D - other.mean_D).square().sum()
        traces = self._reference.covariance_DD.trace() + other.covariance_DD.trace()
        return max(0.0, float(means + traces - 2 * overlap))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Frechet distance of two Gaussians; 0 for equal ones."""
    return Against(a).distance(b)


def _root(matrix_DD: Tensor) -> Tensor:
    """The symmetric square root of a covariance; rounding below zero counts as zero."""
    values_D, vectors_DD = torch.linalg.eigh(matrix_DD)
    return (vectors_DD * values_D.clamp_min(0).sqrt()) @ vectors_DD.T
