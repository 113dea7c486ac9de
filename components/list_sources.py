"""Lists the sources outside the project, where DVC cannot look: `dvc repro` runs this each time."""

from __future__ import annotations

from components.params.run_step import run_step
from components.sources.listing import look


def main() -> int:
    return run_step(lambda layout, settings: [f"source {change}" for change in look(layout, settings).changes])


if __name__ == "__main__":
    raise SystemExit(main())
