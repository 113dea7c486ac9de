"""The one command: checks that outputs are equal, measures, and writes `RESULTS.md` beside this file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import agreement, curves, inference, machine, results, sizes, toolbox, training
from benchmarks.operations import measure_ceiling
from benchmarks.results import Section
from components.handover import StepError
from components.learning.device import best_device
from components.params import ParamsError

HERE = Path(__file__).parent


def sections(all_sizes: sizes.Sizes, device: torch.device, picture: Path) -> Iterator[Section]:
    """Every table of one device, as soon as it is measured. Raises `StepError` where outputs differ."""
    basicsr = toolbox.ready()
    yield agreement.check(basicsr, all_sizes.steps, all_sizes.images, device)
    ceiling, table = measure_ceiling(all_sizes.products, all_sizes.copied_mib, device)
    yield table
    steps = [training.measure(basicsr, size, device, all_sizes.calls) for size in all_sizes.steps]
    yield training.section(steps, ceiling, device)
    yield training.split_section(steps)
    yield inference.section(basicsr, all_sizes.images, ceiling, device)
    yield from curves.sections(basicsr, all_sizes.image_curve, all_sizes.step_curve, all_sizes.calls, device, picture)
    if all_sizes.memory:
        from benchmarks import memory

        yield memory.section(all_sizes.memory)


def measure(all_sizes: sizes.Sizes, device: torch.device, folder: Path) -> str:
    """The chapter of one device; its picture goes into `folder`."""
    description, tables, begun = machine.described(device), [], time.monotonic()
    print(description)
    torch.backends.cudnn.benchmark = True  # as basicsr's own training does; holds for both
    for section in sections(all_sizes, device, folder / f"curves-{device.type}.svg"):
        tables.append(section)
        print(f"\n{section.markdown()}\n({time.monotonic() - begun:.0f} s since the start)", flush=True)
    return results.chapter(description, machine.revision(), tables)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=tuple(results.CHAPTERS), action="append", help="by default all there are")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of RESULTS.md; by default beside the code")
    parser.add_argument("--quick", action="store_true", help="a look whether it runs: tiny sizes, nothing to rely on")
    chosen = parser.parse_args(arguments)
    if chosen.quick and chosen.into == HERE:
        parser.error("--quick: its numbers mean nothing; name another folder with --into")
    kinds = chosen.device or list(dict.fromkeys(["cpu", best_device().type]))
    try:
        for kind in kinds:
            full = sizes.for_gpu() if kind == "cuda" else sizes.for_processor()
            all_sizes = sizes.for_a_look() if chosen.quick else full
            text = measure(all_sizes, torch.device(kind), chosen.into)
            results.write(chosen.into / "RESULTS.md", kind, text)
    except (StepError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"written: {chosen.into / 'RESULTS.md'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
