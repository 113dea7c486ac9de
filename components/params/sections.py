"""Builds a frozen dataclass from a mapping, and lists every problem of the mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Section = TypeVar("Section")


def build_section(section: type[Section], value: Any, location: str, problems: list[str]) -> Section | None:
    """`section` with the values of `value`, or `None`. Missing, unknown and wrongly typed keys are added to `problems`.

    So are the section's own `problems()`. `location` is the section's place in its file. Fields may be sections.
    """
    if not isinstance(value, Mapping):
        problems.append(f"{location}: expected a section, found {value!r}")
        return None
    hints, problem_count = get_type_hints(section), len(problems)
    prefix = f"{location}." if location else ""
    problems.extend(f"{prefix}{key}: unknown" for key in value if key not in hints)
    values = {}
    for field in fields(section):  # type: ignore[arg-type]
        if field.name in value:
            values[field.name] = _typed(value[field.name], hints[field.name], prefix + field.name, problems)
        elif field.default is MISSING:
            problems.append(f"{prefix}{field.name}: missing")
    if len(problems) > problem_count:
        return None
    built = section(**values)
    if hasattr(built, "problems"):
        problems.extend(prefix + problem for problem in built.problems())
    return built


def _typed(value: Any, hint: Any, location: str, problems: list[str]) -> Any:
    if is_dataclass(hint):
        return build_section(hint, value, location, problems)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin is Literal:
        valid, expected = value in get_args(hint), f"one of {', '.join(map(str, get_args(hint)))}"
    elif origin is tuple:
        item_type = get_args(hint)[0]
        if isinstance(value, (list, tuple)):
            return tuple(_typed(item, item_type, location, problems) for item in value)
        valid, expected = False, f"a list of {item_type.__name__}"
    elif origin is dict:
        valid, expected = isinstance(value, dict), "a section"
    elif hint is float:
        valid, expected = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
        value = float(value) if valid else value
    else:
        valid, expected = type(value) is hint, {int: "a whole number", str: "text", bool: "true or false"}[hint]
    if not valid:
        problems.append(f"{location}: expected {expected}, found {value!r}")
    return value


def share(section: Any, *names: str) -> Iterator[str]:
    """A problem for each of `names` that is not from 0 to 1."""
    for name in names:
        if not 0 <= getattr(section, name) <= 1:
            yield f"{name}: expected a share from 0 to 1, found {getattr(section, name)}"


def at_least(section: Any, minimum: int, *names: str) -> Iterator[str]:
    """A problem for each of `names` that is less than `minimum`."""
    for name in names:
        if getattr(section, name) < minimum:
            yield f"{name}: expected {minimum} or more, found {getattr(section, name)}"
