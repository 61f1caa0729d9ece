"""A comparison carried out: every setting's point is read from its file or made by the engine of `eval-fid`.

A finished point is a file in `points/`; one that was begun has a folder of the same name, with the engine's
batches, and goes when the point is finished. N pictures of a batch.
"""

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import quantiles
from typing import Any, Final, NamedTuple

import torch

from genstudio.comparison.point import Point, Score, Seconds, Shown, load
from genstudio.comparison.settings import FIELDS, Setting
from genstudio.data.labels import name_of
from genstudio.evaluation.evaluate import Result, open_evaluation, sampled
from genstudio.evaluation.extractor import Extractor, open_extractor
from genstudio.evaluation.plan import Plan
from genstudio.evaluation.reference import ReferenceStatistics, find_reference
from genstudio.evaluation.run import PIXELS
from genstudio.evaluation.scores import Sample
from genstudio.evaluation.sources import Sampled
from genstudio.files import digest
from genstudio.measure.budget import check_memory
from genstudio.measure.machine import Others, device_name
from genstudio.measure.memory import PeakMemory
from genstudio.media.png import to_image
from genstudio.releases import catalogue
from genstudio.releases.places import resolve
from genstudio.request import Wanted
from genstudio.runtime import Runtime
from genstudio.samplers.accelerators import describe
from genstudio.studio import Studio

SHOWN: Final = 10  # pictures of each point on the page
Watch = Callable[[float], None]


class Found(NamedTuple):
    """The point of setting `number`, and whether it was made now."""

    number: int
    point: Point
    made: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Settings with the plan of each, and where and on what they are made; `fields` differ between them."""

    settings: Sequence[Setting]
    plans: Sequence[Plan]
    fields: tuple[str, ...]
    folder: Path
    machine: dict[str, Any]
    feature_weights: Path | None = None

    def run(self, watch: Watch) -> Iterator[Found]:
        """Points in the order in which models and number types are loaded, each once; `watch` hears how many
        pictures of a point are made. What was finished before is read. Raises GenstudioError before the first
        point for weights that are missing, number types that the machine lacks, and too little memory."""
        plan = self.plans[0]
        extractor = open_extractor(plan.extractor, weights=self.feature_weights)
        reference = find_reference(str(plan.reference), extractor)
        held = [self._held(number, extractor, reference) for number in range(len(self.settings))]
        keys = self._keys(held)
        done = [load(self._path(key)) for key in keys]
        self._check_memory([number for number, point in enumerate(done) if point is None])
        studio: Studio | None = None
        for number in self._order():
            point, path = done[number], self._path(keys[number])
            if point is not None:
                yield Found(number, replace(point, **self._said(number), held=held[number]), made=False)
                continue
            studio = self._studio(number, studio)
            point = self._point(number, studio, path, held[number], watch)
            point.save(path)
            shutil.rmtree(path.with_suffix(""))
            yield Found(number, point, made=True)

    def _said(self, number: int) -> dict[str, Any]:
        """How a point is called depends on what it stands beside; its numbers do not."""
        setting = self.settings[number]
        return {
            "model": setting.release.name,
            "name": setting.name(self.fields),
            "plain": setting.plain,
            "label": setting.label,
        }

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _runtime(self, number: int) -> Runtime:
        return Runtime.choose(self.machine["device"], self.settings[number].dtype)

    def _check_memory(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            setting, plan = self.settings[number], self.plans[number]
            together = min(plan.batch, plan.samples or plan.batch)
            made: dict[str, Any] = {"recipe": setting.recipe, "accelerators": setting.accelerators}
            check_memory(setting.release, together, self._runtime(number), **made)

    def _keys(self, held: Sequence[dict[str, Any]]) -> list[str]:
        """Hashes of everything that decides the numbers of each point."""
        names = {name for setting in self.settings for name in _parts(setting)}
        weights = {name: digest(resolve(catalogue.find(name))) for name in sorted(names)}
        return [_key(setting, weights, one) for setting, one in zip(self.settings, held, strict=True)]

    def _order(self) -> list[int]:
        """Model by model, the plain recipe first: even a stopped run can compare with it."""
        models = list(dict.fromkeys(setting.model for setting in self.settings))
        usual = next(setting.dtype for setting in self.settings if setting.plain)

        def rank(number: int) -> tuple[int, bool, str, bool]:
            one = self.settings[number]
            return models.index(one.model), one.dtype != usual, one.dtype, not one.plain

        return sorted(range(len(self.settings)), key=rank)

    def _studio(self, number: int, before: Studio | None) -> Studio:
        setting = self.settings[number]
        if before is not None and (before.release, before.runtime.dtype) == (setting.release, setting.dtype):
            return before
        studio = Studio.load(setting.model, **{**self.machine, "dtype": setting.dtype})
        # First calls of a process set up what later ones find there.
        Sampled(studio, self.plans[number]).take(range(1), lambda _: None)
        return studio

    def _point(self, number: int, studio: Studio, path: Path, held: dict[str, Any], watch: Watch) -> Point:
        setting, plan = self.settings[number], self.plans[number]
        evaluation = open_evaluation(
            plan,
            sampled(studio, plan),
            folder=path.with_suffix(""),
            device=studio.runtime.device,
            feature_weights=self.feature_weights,
        )
        peak = _peak_bytes(studio, plan)
        others = Others()
        sample = evaluation.run(lambda progress: watch(progress.done))
        busy = others.share()
        result = evaluation.score(sample)
        return Point(
            key=path.stem,
            **self._said(number),
            knobs={field: setting.read(field) for field in FIELDS},
            recipe=setting.describe(),
            judge=setting.selection.judge if setting.selection else None,
            samples=result.samples,
            times=_times(sample),
            busy=busy,
            peak_bytes=peak,
            scores=_scores(result),
            digest=result.digest,
            held=held,
            pictures=_shown(sample, studio, plan),
        )

    def _held(self, number: int, extractor: Extractor, reference: ReferenceStatistics) -> dict[str, Any]:
        """What all points share, machine and judges of quality included."""
        plan, runtime = self.plans[number], self._runtime(number)
        assert plan.samples is not None
        facts = runtime.facts()
        dtype = {} if "dtype" in self.fields else {"dtype": facts["dtype"]}
        return {
            "device": f"{runtime.device}, {device_name(runtime.torch_device)}",
            "threads": facts["threads"],
            **dtype,
            "seeds": f"{plan.seed} to {plan.seed + plan.samples - 1}",
            "labels": plan.labels,
            **plan.text_facts(),
            **({"resized_to": f"{plan.side} px"} if plan.side else {}),
            "batch": plan.batch,
            "extractor": extractor.name,
            "extractor_weights": extractor.digest,
            "reference": reference.source,
            "reference_hash": reference.sha256,
            "suite": plan.suite,
            "metrics": " ".join(plan.metrics or ()),
            "versions": facts["versions"],
        }


def _peak_bytes(studio: Studio, plan: Plan) -> int:
    """Of one batch above the loaded models, in which nobody looks at pictures."""
    source = Sampled(studio, plan)
    with PeakMemory(studio.runtime.device) as memory:
        source.take(range(min(plan.batch, len(source))), lambda _: None)
    return memory.bytes


def _key(setting: Setting, weights: dict[str, str], held: dict[str, Any]) -> str:
    decisive = {
        "weights": [weights[name] for name in _parts(setting)],
        "recipe": asdict(setting.recipe),
        "selection": setting.selection and asdict(setting.selection),
        **({"accelerators": [*map(describe, setting.accelerators)]} if setting.accelerators else {}),
        "held": {**held, "dtype": setting.dtype},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _parts(setting: Setting) -> list[str]:
    """Releases whose weights matter: generator, tokenizer, judge, companions of accelerators."""
    judge = [setting.selection.judge] if setting.selection else []
    companions = [name for one in setting.accelerators for name in one.companions]
    return [setting.model, str(setting.release.tokenizer), *judge, *companions]


def _scores(result: Result) -> dict[str, Score]:
    return {name: Score(**measured._asdict()) for name, measured in result.metrics.items()}


def _times(sample: Sample) -> Seconds:
    """Quartiles over batches: what else the machine did for a while moves a mean, and hardly a median."""
    ranges = [at for at in sample.shards.ranges if at.stop <= sample.until]
    costs = sample.shards.facts(sample.until)
    each = sorted(cost.seconds / len(at) for cost, at in zip(costs, ranges, strict=True))
    low, median, high = quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    return Seconds(median=median, low=low, high=high)


def _shown(sample: Sample, studio: Studio, plan: Plan) -> tuple[Shown, ...]:
    """The first pictures, by the seeds that were asked for."""
    first = [at for at in sample.shards.ranges if at.start < SHOWN]
    pixels_NCHW = torch.cat([sample.shards.one(at, PIXELS) for at in first])[:SHOWN]
    pairs = zip(Sampled(studio, plan).request.pictures, pixels_NCHW, strict=False)
    return tuple(
        Shown(label=one.label, name=_subject(one, studio), seed=one.seed, png=_png(pixels_CHW))
        for one, pixels_CHW in pairs
    )


def _subject(wanted: Wanted, studio: Studio) -> str:
    return wanted.prompt or name_of(wanted.label, studio.classes)


def _png(pixels_CHW: torch.Tensor) -> str:
    content = io.BytesIO()
    to_image(pixels_CHW).save(content, format="PNG")
    return base64.b64encode(content.getvalue()).decode()
