"""A frozen dataclass from a mapping, and every problem of the mapping at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Section = TypeVar("Section")


def build_section(section: type[Section], value: Any, where: str, problems: list[str]) -> Section | None:
    """`section` with the values of `value`, or `None`; what is missing, unknown or of the wrong type joins `problems`.

    So does what the section's own `problems()` says. `where` is the section's place in its file; fields may be
    sections themselves.
    """
    if not isinstance(value, Mapping):
        problems.append(f"{where}: expected a section, found {value!r}")
        return None
    hints, before = get_type_hints(section), len(problems)
    prefix = f"{where}." if where else ""
    problems.extend(f"{prefix}{key}: unknown" for key in value if key not in hints)
    found = {}
    for field in fields(section):  # type: ignore[arg-type]
        if field.name in value:
            found[field.name] = _typed(value[field.name], hints[field.name], prefix + field.name, problems)
        elif field.default is MISSING:
            problems.append(f"{prefix}{field.name}: missing")
    if len(problems) > before:
        return None
    made = section(**found)
    if hasattr(made, "problems"):
        problems.extend(prefix + problem for problem in made.problems())
    return made


def _typed(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    if is_dataclass(hint):
        return build_section(hint, value, where, problems)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin is Literal:
        good, kind = value in get_args(hint), f"one of {', '.join(map(str, get_args(hint)))}"
    elif origin is tuple:
        item = get_args(hint)[0]
        if isinstance(value, (list, tuple)):
            return tuple(_typed(one, item, where, problems) for one in value)
        good, kind = False, f"a list of {item.__name__}"
    elif origin is dict:
        good, kind = isinstance(value, dict), "a section"
    elif hint is float:
        good, kind = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
        value = float(value) if good else value
    else:
        good, kind = type(value) is hint, {int: "a whole number", str: "text", bool: "true or false"}[hint]
    if not good:
        problems.append(f"{where}: expected {kind}, found {value!r}")
    return value


def share(section: Any, *names: str) -> Iterator[str]:
    """A line for each of `names` that is no share."""
    for name in names:
        if not 0 <= getattr(section, name) <= 1:
            yield f"{name}: expected a share from 0 to 1, found {getattr(section, name)}"


def at_least(section: Any, least: int, *names: str) -> Iterator[str]:
    """A line for each of `names` that is less than `least`."""
    for name in names:
        if getattr(section, name) < least:
            yield f"{name}: expected {least} or more, found {getattr(section, name)}"
