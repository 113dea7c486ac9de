"""How the report writes a number, and the rows that most of them are from."""

from __future__ import annotations

from collections.abc import Callable

from components.handover import Layout, read_rows
from components.handover.sr_rows import MethodSummary, SampleScore
from components.pages.labels import display_names

Rows = list[list[str]]


def plain(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def signed(value: float, decimals: int = 2) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def interval(line: object, name: str, decimals: int, form: Callable[[float, int], str] = signed) -> str:
    return f"[{form(getattr(line, f'{name}_low'), decimals)}, {form(getattr(line, f'{name}_high'), decimals)}]"


def many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def summary_of(layout: Layout) -> list[MethodSummary]:
    return sorted(read_rows(layout.sr_summary, MethodSummary), key=lambda line: -line.psnr_db_mean)


def samples_of(layout: Layout) -> tuple[list[SampleScore], list[str], list[str]]:
    """Every row, the samples, and the methods, in the file's order."""
    rows = read_rows(layout.sr_samples, SampleScore)
    return rows, list(dict.fromkeys(row.sample for row in rows)), list(dict.fromkeys(row.method for row in rows))


def names_of(layout: Layout) -> dict[str, str]:
    return display_names(samples_of(layout)[2])
