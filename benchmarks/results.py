"""RESULTS.md: one chapter for each kind of device. The next run on such a device replaces it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from components.handover import Replacing

CHAPTERS = {"cpu": "CPU", "cuda": "GPU"}
HEAD = """# Speed against basicsr

Written by `make benchmark`; a run replaces the chapters of the devices it finds. Every quotient compares basicsr's own
classes with ours in one process, in turns (A B A B), with the same weights, sizes and number of threads, after outputs
were found equal. Numbers are medians, with the range of all rounds in brackets.
"""
NOT_MEASURED = "| | |\n|---|---|\n| every row | no {chapter}: not measured |"


@dataclass(frozen=True)
class Section:
    """A table with its method, and its finding in a line."""

    title: str
    method: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    finding: str = ""
    figure: str = ""  # a picture beside RESULTS.md

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", self.method, "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line(row) for row in self.rows]
        if self.figure:
            lines += ["", f"![{self.title}]({self.figure})"]
        return "\n".join(lines) + "\n"


def chapter(machine: str, revision: str, sections: Sequence[Section]) -> str:
    """The text of one device's chapter: the machine, the findings, the tables."""
    findings = [f"- {section.finding}" for section in sections if section.finding]
    head = f"{machine}. {date.today().isoformat()}, revision {revision}."
    return "\n".join([head, "", *findings, "", *(section.markdown() for section in sections)])


def write(path: Path, kind: str, text: str) -> None:
    """Puts `text` in place of the chapter of `kind` (`cpu` or `cuda`) in `path`, and leaves the others."""
    chapters = dict.fromkeys(CHAPTERS.values(), "") | _read(path) | {CHAPTERS[kind]: text}
    body = [f"## {name}\n\n{content or NOT_MEASURED.format(chapter=name)}" for name, content in chapters.items()]
    with Replacing(path) as temporary:
        temporary.write_text("\n\n".join([HEAD.strip(), *map(str.strip, body)]) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (content.strip() for content in parts[2::2]), strict=True))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
