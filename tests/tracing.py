"""What a page of the report shows, against what must stand there by the files that it was made from.

Every table is compared cell by cell, and every text that holds a number with the one that it must be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import Any

from components.handover import Layout
from components.params import Params
from components.report import TEMPLATES
from tests import expected_tables, expected_texts

NUMBER = re.compile(r"\d|\bnan\b|\binf\b|∞|undefined")
MADE = re.compile(  # when, and at which commit: of the page, not of its numbers
    r"(?<=made)\d{4}-\d\d-\d\d\d\d:\d\dUTC|,atcommit[0-9a-f]{40}(withchangesthatwerenotcommitted)?"
)
FILLED = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)  # what jinja fills in
UNREAD = ("style", "script")
WITHIN = ("a", "b", "br", "code", "em", "small", "strong")  # of a text; every other element is its own
SPOKEN = ("aria-label", "aria-valuetext", "title")


def untraced(page: str, layout: Layout, settings: Params) -> list[str]:
    """What of `page` is not as the files of `layout` and `settings` have it, and what of theirs is not in it."""
    shown, wanted = Page(page), expected_tables.tables(layout, settings.promote)
    found = [f"table {name!r}: expected it, found none" for name in wanted if name not in shown.tables]
    for name, rows in shown.tables.items():
        own = [[squeezed(cell) for cell in row] for row in wanted.get(name, [])]
        found += _differences(f"table {name!r}", own, rows)
    template = "".join(path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.jinja")))
    static = {*Page(FILLED.sub("{}", template)).texts, *shown.tables}
    said = [text for text in map(squeezed, expected_texts.texts(layout, settings.profile)) if NUMBER.search(text)]
    read = [MADE.sub("", text) for text in shown.texts if NUMBER.search(text) and text not in static]
    return found + _differences("text", [text for text in said if text not in static], read)


def _differences(where: str, wanted: Sequence[Any], found: Sequence[Any]) -> list[str]:
    return [
        f"{where}: expected {wanted[a:b]}, found {found[c:d]}"
        for how, a, b, c, d in SequenceMatcher(None, list(map(str, wanted)), list(map(str, found)), False).get_opcodes()
        if how != "equal"
    ]


def squeezed(text: str) -> str:
    """`text` without spaces, which tell nothing of a number and depend on how the page is laid out."""
    return "".join(text.split())


class Page(HTMLParser):
    """The tables of a page by caption, as rows of cells; and every text outside them or in their heads, squeezed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self._rows: list[list[str]] | None = None
        self._caption = self._text = ""
        self._unread = self._head = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread = self._unread or tag in UNREAD
        self.texts += [squeezed(value) for name, value in attrs if name in SPOKEN and value]
        if not self._within(tag):
            self._end()
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "thead":
            self._head = True
        elif tag == "tr" and self._rows is not None and not self._head:
            self._rows.append([])

    def handle_endtag(self, tag: str) -> None:
        text = "" if self._within(tag) else self._end(tag in ("td", "th", "caption"))
        if tag in UNREAD:
            self._unread = False
        elif tag == "thead":
            self._head = False
        elif tag == "caption":
            self._caption = text
        elif tag == "th" and self._head:
            self.texts.append(text)
        elif tag in ("td", "th") and self._rows:
            self._rows[-1].append(text)
        elif tag == "table" and self._rows is not None:
            self.tables[self._caption], self._rows = self._rows, None

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._text += data

    def _within(self, tag: str) -> bool:
        return tag in WITHIN or (tag == "span" and self._rows is not None)

    def _end(self, of_table: bool = False) -> str:
        """The text until here; one that is no cell's or caption's joins `texts`."""
        text, self._text = squeezed(self._text), ""
        if text and not of_table:
            self.texts.append(text)
        return text
