"""Trains and scores on folders of natural pictures, so that a network here can be checked against its paper.

`python -m components.natural_images prepare` writes what `components.train` trains on, `score` prints a table by the
published protocol; `medsr train` and `medsr score` do the same. Needs no more than training does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from components.handover import Layout
from components.natural_images.scoring import score
from components.natural_images.training import prepare
from components.params.run_step import report


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    return report(lambda: _prepared(chosen) if chosen.task == "prepare" else _scored(chosen))


def _prepared(chosen: argparse.Namespace) -> list[str]:
    layout = Layout(chosen.into)
    rows = prepare(layout, chosen.images, chosen.validation, chosen.scale)
    return [f"{len(rows)} pictures prepared in {layout.super_resolution}"]


def _scored(chosen: argparse.Namespace) -> list[str]:
    table = score(chosen.images, chosen.low, chosen.scale, chosen.model)
    return [json.dumps(table.as_dict(), indent=2)] if chosen.json else list(table.lines())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.natural_images", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    preparing, scoring = tasks.add_parser("prepare"), tasks.add_parser("score")
    for one in (preparing, scoring):
        one.add_argument("--images", type=Path, required=True, help="a folder of PNG or JPEG pictures")
        one.add_argument("--scale", type=int, default=4, choices=(2, 3, 4, 8))
    preparing.add_argument("--validation", type=Path, required=True)
    preparing.add_argument("--into", type=Path, required=True, help="the folder to train in")
    scoring.add_argument("model", help="bicubic, or a folder of weights")
    scoring.add_argument("--low", type=Path, help="their low-resolution twins")
    scoring.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
