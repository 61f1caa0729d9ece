"""The scoring plans of all settings, alike in everything but what is compared. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genstudio.comparison.settings import Setting
from genstudio.data.labels import names_of
from genstudio.errors import GenstudioError
from genstudio.evaluation.plan import Plan, plan_for
from genstudio.samplers.accelerators import describe

ALIKE = ("extractor", "reference", "labels", "suite", "metrics")


def plans(settings: Sequence[Setting], **asked: Any) -> list[Plan]:
    """One for each setting: its model's protocol with what was `asked` in place of its fields.

    Raises GenstudioError where the numbers could not be compared: other classes, other rules, no distance.
    """
    _check_classes(settings)
    found = [plan_for(one.release, one.model, **_made_by(one), **asked) for one in settings]
    _check_alike(found)
    _check_comparable(found[0])
    return found


def _made_by(one: Setting) -> dict[str, Any]:
    chosen = tuple(map(describe, one.accelerators))
    return {"recipe": one.recipe, "selection": one.selection, "accelerators": chosen}


def _check_classes(settings: Sequence[Setting]) -> None:
    """The same seed has to mean the same class everywhere."""
    first = settings[0].release
    for release in (one.release for one in settings[1:]):
        if _classes(release) != _classes(first):
            raise GenstudioError(
                f"{first.name} and {release.name} know different classes, so no pictures correspond.",
                "Compare models of the same classes.",
            )


def _classes(release: Any) -> tuple[str, ...]:
    return names_of(release.classes, release.config.classes)


def _check_alike(found: Sequence[Plan]) -> None:
    for name in ALIKE:
        values = sorted({str(getattr(plan, name)) for plan in found})
        if len(values) > 1:
            raise GenstudioError(
                f"The models' protocols differ in {name}: {' and '.join(values)}.",
                "Compare them in two runs, or give --extractor and --reference.",
            )


def _check_comparable(plan: Plan) -> None:
    if plan.reference is None or (plan.metrics is not None and "fid" not in plan.metrics):
        raise GenstudioError("Without a distance nothing is compared.", "Give --reference.")
    if Path(plan.reference).is_dir():
        raise GenstudioError(
            f"{plan.reference} is a folder, whose statistics every setting would need again.",
            f"Make them once: genstudio eval-fid {plan.reference} --save-stats real.safetensors.",
        )
