"""What `medsr up` tells other commands about itself, in the file that it locks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.handover import Layout, StepError
from flows import project_lock
from flows.project_lock import Holder


@dataclass(frozen=True)
class Addresses:
    """Where the servers answer; empty while that is not decided."""

    prefect: str = ""  # of its pages; the API is below
    mlflow: str = ""
    ports: tuple[int, ...] = ()  # of this machine, which close when `medsr up` ends
    ready: bool = False  # each of them has answered

    @classmethod
    def read(cls, details: Mapping[str, Any]) -> Addresses:
        return cls(
            prefect=str(details.get("prefect", "")),
            mlflow=str(details.get("mlflow", "")),
            ports=tuple(details.get("ports", ())),
            ready=bool(details.get("ready", False)),
        )

    @property
    def api(self) -> str:
        return f"{self.prefect}/api"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        return [f"Prefect: {self.prefect}", f"MLflow: {self.mlflow}"] if self.prefect else []


@dataclass(frozen=True)
class Running:
    """A `medsr up` that runs, or starts."""

    holder: Holder
    addresses: Addresses


def find(layout: Layout) -> Running | None:
    """The `medsr up` of this project, or none."""
    holder = project_lock.holder(layout.up_lock)
    return Running(holder, Addresses.read(holder.details)) if holder else None


def already(holder: Holder) -> StepError:
    """The error of a second `medsr up` in a project."""
    where = "".join(f" {line}." for line in Addresses.read(holder.details).lines())
    return StepError(f"`medsr up`: expected none here yet, found {holder}.{where} `medsr down` ends it.")
