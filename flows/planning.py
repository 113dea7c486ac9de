"""What a run would do, and why, before anything runs: `medsr plan`, and a dry run on Prefect's pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from components import params
from components.handover import Layout, StepError
from components.handover.names import GRAPH, PARAMS
from components.sources import listing
from flows.stages import Stage, plan, read_graph, stale

DATA_STAGES = ("ingest", "split", "validate")  # of a check of the data, with what they need


@dataclass(frozen=True)
class Plan:
    """The stages that a run would look at, in order, each with the reasons."""

    stages: dict[str, tuple[str, ...]]
    total: int  # stages of the graph

    def lines(self) -> list[str]:
        """The plan as lines for a person."""
        return [
            *(f"{stage}: {'; '.join(reasons)}" for stage, reasons in self.stages.items()),
            f"{len(self.stages)} of {self.total} stages would run; what follows them may turn out unchanged",
        ]


def planned(root: Path) -> Plan:
    """What a run would do now. Writes nothing but remembered digests.

    Raises `StepError` where the project cannot be read, and its subclass `Busy` while another run is at a stage.
    """
    graph, reasons = read_graph(root), stale(root)
    news = listing.compare(Layout(root), params.load(root / PARAMS)).changes
    if news:
        reasons[listing.STAGE] = (*reasons.get(listing.STAGE, ()), *map(str, news))
    return Plan(plan(graph, reasons), len(graph))


def new_images(root: Path) -> bool:
    """Whether a stage behind the check of the data has not seen the images as they are now."""
    made = tuple(str(path.relative_to(root)) for path in (Layout(root).raw, Layout(root).splits))
    return any(
        reason.startswith(made)
        for stage, reasons in stale(root).items()
        if stage not in DATA_STAGES
        for reason in reasons
    )


def part(graph: Iterable[Stage], last: Collection[str]) -> list[Stage]:
    """The stages named by `last` and all that they need, in order; the whole graph where `last` is empty.

    Raises `StepError` where the graph has no such stage.
    """
    stages = {stage.name: stage for stage in graph}
    if missing := sorted(set(last) - stages.keys()):
        raise StepError(f"{GRAPH}: expected the stages {', '.join(missing)}, found none of these names.")
    needed, waiting = set[str](), list(last or stages)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += stages[name].needs
    return [stage for name, stage in stages.items() if name in needed]
