from dataclasses import dataclass
from typing import Any, Literal

import pytest

from components.params.sections import build_section


@dataclass(frozen=True)
class Inner:
    share: float

    def problems(self):
        if self.share > 1:
            yield f"share: expected at most 1, found {self.share}"


@dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["a", "b"]
    sizes: tuple[int, ...]
    inner: Inner
    loose: dict[str, Any]
    wanted: bool = False


GOOD = {"name": "n", "kind": "a", "sizes": [1, 2], "inner": {"share": 1}, "loose": {"x": 1}}


def test_a_section_holds_what_the_mapping_says_and_its_own_defaults() -> None:
    problems: list[str] = []
    assert build_section(Outer, GOOD, "", problems) == Outer("n", "a", (1, 2), Inner(1.0), {"x": 1}, False)
    assert problems == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": 3}, "top.name: expected text, found 3"),
        ({"kind": "c"}, "top.kind: expected one of a, b, found 'c'"),
        ({"sizes": [1, 2.5]}, "top.sizes: expected a whole number, found 2.5"),
        ({"sizes": 1}, "top.sizes: expected a list of int, found 1"),
        ({"wanted": "yes"}, "top.wanted: expected true or false, found 'yes'"),
        ({"inner": {"share": True}}, "top.inner.share: expected a number, found True"),
        ({"inner": {"share": 2}}, "top.inner.share: expected at most 1, found 2"),
        ({"inner": 5}, "top.inner: expected a section, found 5"),
        ({"loose": []}, "top.loose: expected a section, found []"),
        ({"more": 1}, "top.more: unknown"),
    ],
)
def test_every_kind_of_problem_is_named_with_its_place(change: dict[str, Any], told: str) -> None:
    problems: list[str] = []
    build_section(Outer, GOOD | change, "top", problems)
    assert told in " ".join(problems).replace("  ", " ")


def test_all_problems_come_at_once_and_nothing_is_made() -> None:
    problems: list[str] = []
    assert build_section(Outer, {"name": 1, "kind": "z", "extra": 0}, "", problems) is None
    assert [line.split(":")[0] for line in problems] == ["extra", "name", "kind", "sizes", "inner", "loose"]
