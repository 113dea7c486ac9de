"""Which numbers of a page stand in none of the files that it was made from."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from components.evidence.measures import DEFINITIONS
from components.reader_report import LITERATURE

DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")


def untraced(page: str, folder: Path, also: Iterable[float] = ()) -> tuple[int, dict[str, str]]:
    """How many decimal numbers `page` shows, and each that no file below `folder` holds, with what is around it.

    A number may be rounded, a share be shown in percent. Formulas and the literature have numbers of their own; `also`
    names more that come from elsewhere.
    """
    cited = map(float, DECIMAL.findall(repr((DEFINITIONS, LITERATURE))))
    known = {
        f"{abs(shown):.{decimals}f}"
        for value in (*_numbers(folder), *cited, *also)
        for shown in (value, 100 * value)
        for decimals in range(1, 7)
    }
    text = " ".join(_Text(page).found)
    shown = list(DECIMAL.finditer(text))
    strange = (match for match in shown if match[0] not in known)
    return len(shown), {match[0]: text[max(0, match.start() - 60) : match.end() + 30] for match in strange}


def _numbers(folder: Path) -> Iterator[float]:
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as handle:
            for cell in (cell for row in csv.reader(handle) for cell in row):
                with suppress(ValueError):
                    yield float(cell)
    for path in folder.rglob("*.json"):
        yield from _within(json.loads(path.read_text(encoding="utf-8")))


def _within(content: Any) -> Iterator[float]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for one in content:
            yield from _within(one)
    elif isinstance(content, str):
        yield from map(float, re.findall(r"\d+\.\d+", content))
    elif isinstance(content, (int, float)):
        yield float(content)


class _Text(HTMLParser):
    """What a reader sees of a page: no styles, no scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)
