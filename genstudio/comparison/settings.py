"""Which settings are compared: models x varied fields, each model's plain recipe always among them. No torch.

Everything that `--vary` can get wrong is refused here, by reading configs, before any weights are loaded.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from typing import Any, Final, NamedTuple

from genstudio.errors import GenstudioError
from genstudio.releases.release import Release
from genstudio.runtime import FLAGS, Dtype
from genstudio.samplers.accelerators import Accelerator, choose_accelerators, describe
from genstudio.samplers.exactness import Exactness, weakest
from genstudio.samplers.recipe import Recipe, Temperature, TopK, TopP
from genstudio.selection import Selection, choose_selection

Value = float | int | bool | str
Varied = Mapping[str, tuple[Value, ...]]

BITS: Final[Mapping[Dtype, int]] = {"float32": 32, "bfloat16": 16, "float16": 16}
NO_ACCELERATOR: Final = "none"
OTHER_RECIPE, HIGHER_PRECISION, BASELINE = "other recipe", "higher precision", "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to sample one model. `model` is what loads it; `plain` means the release's own recipe."""

    model: str
    release: Release
    recipe: Recipe
    selection: Selection | None
    accelerators: tuple[Accelerator, ...]
    dtype: Dtype
    plain: bool
    label: str

    def read(self, field: str) -> Value | None:
        """What a field is here, varied or the recipe's own; None where it has no meaning."""
        return FIELDS[field].read(self)

    def name(self, fields: Sequence[str]) -> str:
        """For people, by the fields that differ between settings: "cfg 2, top_k 100"."""
        values = {field: self.read(field) for field in fields}
        parts = ", ".join(f"{field} {said(value)}" for field, value in values.items() if value is not None)
        return parts or "plain recipe"

    def describe(self) -> str:
        """Everything that is not a default: recipe, selection, accelerators."""
        chosen = [self.selection.describe()] if self.selection else []
        return ", ".join([self.recipe.describe(), *chosen, *map(describe, self.accelerators)])


def parse_varied(texts: Sequence[str]) -> Varied:
    """`["cfg=0,0.5,1", "top_k=0,100"]` as values by field.

    Raises GenstudioError for an unknown field, one that is given twice, and values of another kind.
    """
    varied: dict[str, tuple[Value, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        field = name.strip().replace("-", "_")
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(FIELDS)}."
            raise GenstudioError(f"--vary knows no field {field!r}.", hint)
        if field in varied:
            raise GenstudioError(f"--vary {field} is given twice.", f"Write --vary {field}=A,B,C once.")
        varied[field] = tuple(dict.fromkeys(_parse(field, part.strip()) for part in values.split(",")))
    return varied


def settings(
    models: Sequence[tuple[str, Release]], varied: Varied, dtype: Dtype, judge: str | None = None
) -> list[Setting]:
    """Every model with every combination of values, and its plain recipe first unless it is one of them.

    Raises GenstudioError for values out of range, fields that mean nothing to a model, judges that do not fit
    it, and where there is nothing to compare.
    """
    _check_models([release for _, release in models])
    found: list[Setting] = []
    for model, release in models:
        combinations = [dict(zip(varied, values, strict=True)) for values in product(*varied.values())]
        made = [_setting(model, release, fields, dtype, judge) for fields in combinations]
        plain = _setting(model, release, {}, dtype, None)
        found += made if any(one.plain for one in made) else [plain, *made]
    if len(found) < 2:
        raise GenstudioError(
            "There is one setting, so nothing is compared.", "Name several models, or --vary cfg=0,1,2."
        )
    return found


def _check_models(releases: Sequence[Release]) -> None:
    for number, release in enumerate(releases):
        if release.tokenizer is None:
            raise GenstudioError(f"{release.name} makes no pictures.", "Choose generators: genstudio models.")
        if release.name in (other.name for other in releases[:number]):
            raise GenstudioError(f"{release.name} is named twice.", "Name every model once.")


def _setting(
    model: str, release: Release, fields: Mapping[str, Value], dtype: Dtype, judge: str | None
) -> Setting:
    own: dict[str, Any] = {name: value for name, value in fields.items() if FIELDS[name].of_recipe}
    recipe = release.override(**own)
    best_of = int(fields.get("best_of", 1))
    accept = fields.get("accept")
    chosen_by = judge if best_of > 1 else None
    selection = choose_selection(release, best_of, None if accept is None else float(accept), chosen_by)
    accel = str(fields.get("accel", NO_ACCELERATOR))
    accelerators = choose_accelerators(release, [] if accel == NO_ACCELERATOR else [accel])
    used: Dtype = FLAGS[str(fields["dtype"])] if "dtype" in fields else dtype
    shortcuts = [*_shortcuts(selection, dtype, used), *(one.label(recipe) for one in accelerators)]
    as_published = recipe == release.recipe
    return Setting(
        model=model,
        release=release,
        recipe=recipe,
        selection=selection,
        accelerators=accelerators,
        dtype=used,
        plain=as_published and selection is None and not accelerators and used == dtype,
        label=_label(not as_published, shortcuts, dtype, used),
    )


def _shortcuts(selection: Selection | None, usual: Dtype, used: Dtype) -> list[Exactness]:
    """Candidates are no pictures of the model's own law; nor are those of coarser numbers."""
    lower = used != usual and BITS[used] <= BITS[usual]
    return [Exactness.LOSSY for shortcut in (selection is not None, lower) if shortcut]


def _label(other_recipe: bool, shortcuts: Sequence[Exactness], usual: Dtype, used: Dtype) -> str:
    """Other recipes are no faster ways to the same pictures, so they carry no exactness of their own."""
    parts = [OTHER_RECIPE] if other_recipe else []
    parts += [HIGHER_PRECISION] if BITS[used] > BITS[usual] else []
    parts += [weakest(shortcuts).label] if shortcuts else []
    return ", ".join(parts) or BASELINE


def _parse(field: str, text: str) -> Value:
    try:
        return FIELDS[field].parse(text)
    except (ValueError, KeyError) as error:
        raise GenstudioError(f"--vary {field}: {text!r} is no value of it.", FIELDS[field].hint) from error


def said(value: Value | None) -> str:
    """A value of a field as people write it."""
    match value:
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
    return str(value)


class Field(NamedTuple):
    """How a field that can be varied is read from text and from a setting; `of_recipe` tells whether the
    recipe's `override` takes it."""

    parse: Callable[[str], Value]
    hint: str
    read: Callable[[Setting], Value | None]
    of_recipe: bool = True


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value


def _cfg(setting: Setting) -> float | None:
    return setting.recipe.guidance.cfg if setting.recipe.guidance else None


def _top_k(setting: Setting) -> int:
    return next((one.k for one in setting.recipe.filters if isinstance(one, TopK)), 0)


def _top_p(setting: Setting) -> float:
    return next((one.p for one in setting.recipe.filters if isinstance(one, TopP)), 0.0)


def _head_steps(setting: Setting) -> str | None:
    return str(setting.recipe.head.steps) if setting.recipe.head else None


def _temperature(setting: Setting) -> float:
    if setting.recipe.head is not None:
        return setting.recipe.head.temperature
    return next((one.value for one in setting.recipe.filters if isinstance(one, Temperature)), 1.0)


def _best_of(setting: Setting) -> int:
    return setting.selection.best_of if setting.selection else 1


def _accept(setting: Setting) -> float | None:
    return setting.selection.accept if setting.selection else None


def _accel(setting: Setting) -> str:
    return "+".join(map(describe, setting.accelerators)) or NO_ACCELERATOR


def _dtype(setting: Setting) -> str:
    return next(flag for flag, name in FLAGS.items() if name == setting.dtype)


NUMBERS, COUNTS = "Give numbers such as 0,0.5,1.", "Give whole numbers such as 0,100,900."
FIELDS: Final[Mapping[str, Field]] = {
    "cfg": Field(_number, NUMBERS, _cfg),
    "top_k": Field(int, COUNTS, _top_k),
    "top_p": Field(_number, NUMBERS, _top_p),
    "temperature": Field(_number, NUMBERS, _temperature),
    "steps": Field(int, "Give whole numbers such as 16,32,64.", lambda one: one.recipe.steps),
    "head_steps": Field(str, "Give schedules such as 50,50:5,50:5:cosine.", _head_steps),
    "smooth": Field({"on": True, "off": False}.__getitem__, "Give on,off.", lambda one: one.recipe.smooth),
    "best_of": Field(int, COUNTS, _best_of, of_recipe=False),
    "accept": Field(_number, NUMBERS, _accept, of_recipe=False),
    "accel": Field(str, "Give none, or names from `genstudio models --accel`.", _accel, of_recipe=False),
    "dtype": Field(
        {flag: flag for flag in FLAGS}.__getitem__, "Give fp32,bf16,fp16.", _dtype, of_recipe=False
    ),
}
