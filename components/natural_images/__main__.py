"""Trains and scores on folders of natural pictures, so that a network here can be checked against its paper.

`python -m components.natural_images prepare` writes the images that `components.train` trains on. `score` prints a
table by the published protocol. `medsr train` and `medsr score` do the same. Needs the packages of training alone.
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
    options = _parser().parse_args(arguments)
    return report(lambda: _prepare(options) if options.task == "prepare" else _score(options))


def _prepare(options: argparse.Namespace) -> list[str]:
    layout = Layout(options.into)
    rows = prepare(layout, options.images, options.validation, options.scale)
    return [f"{len(rows)} pictures prepared in {layout.super_resolution}"]


def _score(options: argparse.Namespace) -> list[str]:
    table = score(options.images, options.low, options.scale, options.model)
    return [json.dumps(table.as_dict(), indent=2)] if options.json else list(table.lines())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.natural_images", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    preparing, scoring = tasks.add_parser("prepare"), tasks.add_parser("score")
    for command in (preparing, scoring):
        command.add_argument("--images", type=Path, required=True, help="a folder of PNG or JPEG pictures")
        command.add_argument("--scale", type=int, default=4, choices=(2, 3, 4, 8))
    preparing.add_argument("--validation", type=Path, required=True)
    preparing.add_argument("--into", type=Path, required=True, help="the folder to train in")
    scoring.add_argument("model", help="bicubic, or a folder of weights")
    scoring.add_argument("--low", type=Path, help="their low-resolution twins")
    scoring.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
