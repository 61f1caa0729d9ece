"""Which points are worth having: the front of time against distance, and the fastest one of equal quality."""

from collections.abc import Sequence

from genstudio.comparison.point import Point


def front(points: Sequence[Point]) -> list[Point]:
    """Points that no other one beats: none is faster and as close, or closer and as fast. Fastest first."""
    kept = [point for point in points if not any(_beats(other, point) for other in points)]
    return sorted(kept, key=lambda point: (point.seconds, point.distance))


def plain_of(point: Point, points: Sequence[Point]) -> Point | None:
    """The plain recipe of the same model, if it is among the points."""
    return next((other for other in points if other.plain and other.model == point.model), None)


def matching(points: Sequence[Point], tolerance: float) -> dict[str, Point]:
    """By model, the fastest point whose distance is at most that of its plain recipe plus `tolerance`.

    Of equally fast ones the closest; a model whose plain recipe is not there yet has none.
    """
    found: dict[str, Point] = {}
    for plain in (point for point in points if point.plain):
        near = [
            point
            for point in points
            if point.model == plain.model and point.distance <= plain.distance + tolerance
        ]
        found[plain.model] = min(near, key=lambda point: (point.seconds, point.distance))
    return found


def blurred(points: Sequence[Point], tolerance: float) -> bool:
    """Whether the tolerance is finer than the 95 % interval of some distance, so that chance may decide."""
    halves = [
        (score.high - score.low) / 2
        for score in (point.scores["frechet"] for point in points)
        if score.low is not None and score.high is not None
    ]
    return len(halves) < len(points) or any(half > tolerance for half in halves)


def surely_faster(point: Point, other: Point) -> bool:
    """Whether the middle halves of their batches' times lie apart: else the difference may be noise."""
    return point.times.high < other.times.low


def _beats(other: Point, point: Point) -> bool:
    as_good = other.seconds <= point.seconds and other.distance <= point.distance
    return as_good and (other.seconds, other.distance) != (point.seconds, point.distance)
