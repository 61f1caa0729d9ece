"""Find a key that a recipe's tables hold and its schema does not, and the valid key that was meant.

The schema is nested pydantic models, dataclasses and unions of them told apart by `kind`; pydantic alone
reports such a key once per member of a union and names no neighbour.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from genstudio.errors import GenstudioError


def unknown_key(schema: Any, value: Any, path: str = "") -> GenstudioError | None:
    """The error for the first unknown key of `value`, in the order of the file; None where all are known."""
    if isinstance(value, list | tuple):
        items = [inner for inner in get_args(_plain(schema)) if inner is not Ellipsis]
        found = (unknown_key(items[0], one, path) for one in value if items)
        return next(filter(None, found), None)
    table = _table(schema, value)
    if table is None or not isinstance(value, Mapping):
        return None
    fields = get_type_hints(table, include_extras=True)
    known = _names(table)
    for key, inner in value.items():
        here = f"{path}.{key}" if path else str(key)
        if key not in known:
            return _unknown(here, path, key, known)
        if (wrong := unknown_key(fields[key], inner, here)) is not None:
            return wrong
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like `word`, if any looks like it at all."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), None)


def _unknown(here: str, path: str, key: str, known: list[str]) -> GenstudioError:
    near = nearest(key, known)
    prefix = f"{path}." if path else ""
    hint = f"Did you mean {prefix}{near}?" if near else f"Valid keys there: {', '.join(known)}."
    return GenstudioError(f"The recipe has an unknown key {here}.", hint)


def _plain(schema: Any) -> Any:
    return get_args(schema)[0] if get_origin(schema) is Annotated else schema


def _members(schema: Any) -> list[Any]:
    plain = _plain(schema)
    if get_origin(plain) in (Union, UnionType):
        return [inner for member in get_args(plain) for inner in _members(member)]
    return [plain]


def _table(schema: Any, value: Any) -> type | None:
    """The class whose fields `value` may have: the one member of the union with that `kind`."""
    tables = [member for member in _members(schema) if isinstance(member, type) and _names(member)]
    if len(tables) > 1 and isinstance(value, Mapping):
        tables = [one for one in tables if value.get("kind") in get_args(get_type_hints(one).get("kind"))]
    return tables[0] if len(tables) == 1 else None


def _names(table: type) -> list[str]:
    if issubclass(table, BaseModel):
        return list(table.model_fields)
    return [field.name for field in dataclasses.fields(table)] if dataclasses.is_dataclass(table) else []
