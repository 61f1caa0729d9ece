"""A plan carried out: sources and extractor opened, features made, scores computed, all facts beside them.

What `eval-fid` prints and `compare` tabulates. Everything that can be refused is refused before the first
picture is made. N pictures, D features.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genstudio.errors import GenstudioError
from genstudio.evaluation.extractor import Extractor, open_extractor
from genstudio.evaluation.plan import KEEPING, METRICS, Plan
from genstudio.evaluation.reference import ReferenceStatistics, find_reference
from genstudio.evaluation.run import Extraction, Report, silent
from genstudio.evaluation.scores import Measured, Sample, available, frechet, measure
from genstudio.evaluation.shards import Shards, key_of
from genstudio.evaluation.sources import Array, Files, Sampled, Source
from genstudio.evaluation.statistics import statistics
from genstudio.files import home
from genstudio.processes import Processes
from genstudio.releases.release import Metric
from genstudio.runtime import versions
from genstudio.studio import Studio

Keep = Literal["none", "grid", "all"]
Say = Callable[[str], None]
FIRST_LOOK = 1_000  # pictures before --until-interval may stop a run, and between two looks


class Result(NamedTuple):
    """Scores of the first `samples` pictures; `digest` is one hash of all of them; `seconds_per_image` counts
    making them alone, in one process; `facts` says by what and against what they were scored."""

    metrics: dict[str, Measured]
    samples: int
    digest: str
    seconds_per_image: float
    left_out: tuple[str, ...]
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        measured = {name: one._asdict() for name, one in self.metrics.items()}
        return {**self._asdict(), "metrics": measured}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A plan with everything opened, ready to `run`."""

    plan: Plan
    extraction: Extraction
    reference: ReferenceStatistics | None
    metrics: tuple[Metric, ...]
    temporary: bool

    def run(self, report: Report = silent, until_interval: float | None = None) -> Sample:
        """Make what is missing.

        `until_interval` ends the run once the 95 % interval of the distance is at most that wide to both
        sides. Raises GenstudioError as the sources and extractors do.
        """
        if until_interval is None:
            self.extraction.run(report=report)
            until = len(self.extraction.source)
        else:
            until = self._until(until_interval, report)
        return self.sample(until, sum(len(cost.left_out) for cost in self.extraction.shards.facts(until)))

    def score(self, sample: Sample) -> Result:
        """Every metric of what was run. Raises GenstudioError where too few pictures are left."""
        shards, extraction = self.extraction.shards, self.extraction
        costs = shards.facts(sample.until)
        return Result(
            metrics=measure(sample, self.metrics),
            samples=sample.count,
            digest=shards.digest(sample.until),
            seconds_per_image=sum(cost.seconds for cost in costs) / sample.count,
            left_out=tuple(name for cost in costs for name in cost.left_out),
            facts={
                "source": extraction.source.name,
                "extractor": extraction.extractor.name,
                "extractor_weights": extraction.extractor.digest,
                "reference": self.reference.source if self.reference else None,
                "reference_hash": self.reference.sha256 if self.reference else None,
                "plan": self.plan.as_dict(),
                "versions": versions(),
            },
        )

    def statistics(self, sample: Sample) -> ReferenceStatistics:
        """Of what was run, for use as somebody's reference."""
        return statistics(sample, self.extraction.source.name)

    def close(self) -> None:
        """Remove what lies in the cache; a folder of the caller's stays."""
        if self.temporary:
            shutil.rmtree(self.extraction.shards.folder)

    def sample(self, until: int, left_out: int = 0) -> Sample:
        """The pictures before index `until`, as they are scored."""
        extraction = self.extraction
        classes = extraction.source.classes
        labelled = classes is not None and classes == extraction.extractor.classes
        return Sample(
            extraction.shards,
            until,
            extraction.extractor,
            self.reference,
            self.plan.suite,
            labelled,
            left_out,
        )

    def _until(self, width: float, report: Report) -> int:
        """Every process looks at the same files and so comes to the same end."""
        ends = [at.stop for at in self.extraction.shards.ranges]
        for end in (end for end in ends if end == ends[-1] or end % FIRST_LOOK < self.plan.batch <= end):
            self.extraction.run(end, report)
            found = frechet(self.sample(end))
            if found.high is not None and found.high - found.value <= width:
                return end
        return ends[-1]


def open_evaluation(
    plan: Plan,
    source: "Callable[[Extractor], Source]",
    *,
    folder: Path | None = None,
    device: str = "cpu",
    feature_weights: Path | None = None,
    pictures: Path | None = None,
    processes: Processes = Processes(),
    say: Say = lambda _: None,
) -> Evaluation:
    """Open extractor, source and reference of a plan. Raises GenstudioError for whatever does not fit.

    `folder` keeps what the run makes; without one it lies in the cache, where the same plan finds it again
    after an interruption, and goes when the run is done. `pictures` is a folder for a PNG of each.
    """
    extractor = open_extractor(plan.extractor, weights=feature_weights, device=device)
    opened = source(extractor)
    _check_count(plan, opened)
    decisive = _decisive(plan, opened, extractor)
    place = folder or home() / "evaluations" / f"{Path(opened.name).name}-{key_of(decisive)[:12]}"
    shards = Shards(place, decisive, len(opened), plan.batch)
    extraction = Extraction(opened, extractor, shards, processes, pictures)
    reference = _reference(plan, extraction, say)
    evaluation = Evaluation(plan, extraction, reference, (), folder is None)
    return replace(evaluation, metrics=_metrics(plan, evaluation.sample(len(opened)), say))


def sampled(studio: Studio, plan: Plan) -> "Callable[[Extractor], Source]":
    """A model as the source."""
    return lambda _: Sampled(studio, plan)


def stored(path: Path, skip_bad: bool = False) -> "Callable[[Extractor], Source]":
    """A folder or an .npz of samples as the source."""
    if path.is_dir():
        return lambda extractor: Files(path, extractor.channels, skip_bad)
    return lambda _: Array(path)


def _check_count(plan: Plan, source: Source) -> None:
    if plan.samples is not None and plan.samples != len(source):
        raise GenstudioError(
            f"{source.name} has {len(source):,} pictures, not {plan.samples:,}.",
            "Leave -n away: all are scored.",
        )
    if len(source) < 2:
        raise GenstudioError(f"{source.name} has one picture.", "A distribution needs two or more.")


def _reference(plan: Plan, extraction: Extraction, say: Say) -> ReferenceStatistics | None:
    """By name or file; of a folder of pictures or an .npz of samples the statistics are made now."""
    if plan.reference is None:
        return None
    path = Path(plan.reference)
    if not path.is_dir() and not Array.looks_like(path):
        return find_reference(plan.reference, extraction.extractor)
    say(f"statistics of {path} first")
    real = stored(path)(extraction.extractor)
    decisive = _decisive(replace(plan, recipe=None), real, extraction.extractor)
    place = extraction.shards.folder / f"reference-{key_of(decisive)[:12]}"
    shards = Shards(place, decisive, len(real), plan.batch)
    there = replace(extraction, source=real, shards=shards, pictures=None)
    there.run()
    return statistics(Sample(shards, len(real), extraction.extractor, None), real.name)


def _metrics(plan: Plan, sample: Sample, say: Say) -> tuple[Metric, ...]:
    """The metrics asked for; without such a wish, all that have a value here."""
    chosen = plan.metrics if plan.metrics is not None else available(sample, tuple(METRICS))
    for metric in chosen:
        if (why := sample.refusal(metric)) is not None:
            raise GenstudioError(f"{metric} has no value here: {why}.", "Leave it out of --metrics.")
    if kept := sorted(set(chosen) & set(KEEPING)):
        width = sample.extractor.features
        size = sample.count * width * 4 / 1e6
        say(f"{', '.join(kept)} will hold {sample.count:,} x {width:,} features in memory ({size:,.0f} MB)")
    return chosen


def _decisive(plan: Plan, source: Source, extractor: Extractor) -> dict[str, Any]:
    """Everything that decides picture i and its features."""
    made = {
        "seed": plan.seed,
        "labels": plan.labels,
        "recipe": plan.recipe and asdict(plan.recipe),
        "selection": plan.selection and asdict(plan.selection),
        **({"side": plan.side} if plan.side else {}),
        **({"accelerators": list(plan.accelerators)} if plan.accelerators else {}),
        **plan.text_facts(),
    }
    looked = {"extractor": extractor.name, "extractor_weights": extractor.digest}
    return {"source": source.identity, "batch": plan.batch, **(made if plan.recipe else {}), **looked}
